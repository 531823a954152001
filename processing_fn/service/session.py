"""What a subscription gives a worker: its keys, and how long it may use them."""

from dataclasses import dataclass, field
from typing import Any

from processing_fn.service.data_keys import DataKeys
from processing_fn.service.file_names import FileNames
from processing_fn.service.instruments import Instruments
from processing_fn.service.written import WrittenBytes
from strongroom import blob
from strongroom.clock import Clock
from strongroom.crypto import mac
from strongroom.crypto.secret import Material, Secret
from strongroom.errors import IntegrityError, KeyDestroyedError, UnavailableError
from strongroom.keyring import Key, KeySet, Purpose

_REQUEST_ID_LABEL = b"strongroom/request-id/v1"
_DIGEST_LABEL = b"strongroom/request-digest/v1"
_CREATION_LABEL = b"strongroom/creation/v1"
_REQUEST_ID_BYTES = 12
_DIGEST_BYTES = 8


@dataclass(slots=True)
class Lease:
    """Until when the worker may serve, on CLOCK_BOOTTIME."""

    clock: Clock
    ends_at_boot_s: float
    given_up: bool = False

    def require(self) -> None:
        """Refuse to work without a lease.

        Raises:
            UnavailableError: It has ended, or was given up.
        """
        # As `has_ended`: every entity that is read asks.
        if self.given_up or self.clock.boot_s() >= self.ends_at_boot_s:
            raise UnavailableError("this worker's lease has ended", retry_after_s=1)

    def has_ended(self) -> bool:
        """Tell whether it has ended."""
        return self.given_up or self.clock.boot_s() >= self.ends_at_boot_s

    def left_s(self) -> float:
        """Return how long it still runs, 0 when it has ended."""
        return 0.0 if self.given_up else max(0.0, self.ends_at_boot_s - self.clock.boot_s())

    def extend(self, ends_at_boot_s: float) -> None:
        """Take a renewal over."""
        self.ends_at_boot_s = ends_at_boot_s

    def end(self) -> None:
        """Give it up, for good."""
        self.given_up = True


@dataclass(frozen=True, slots=True)
class Session:
    """One subscription: keys in memory only, usable until the lease ends."""

    deployment: str
    worker_id: str
    lease: Lease
    data_keys: DataKeys = field(repr=False)
    configuration_keys: KeySet = field(repr=False)
    naming_key: Material = field(repr=False)
    file_names: FileNames = field(repr=False)
    secrets: tuple[Secret, ...] = field(repr=False)
    written: WrittenBytes = field(default_factory=WrittenBytes)
    instruments: Instruments = field(default_factory=Instruments, repr=False)

    def forget(self) -> None:
        """End the lease and overwrite every key."""
        self.lease.end()
        self.data_keys.forget()
        self.file_names.forget()
        for held in self.secrets:
            held.overwrite()

    def file_id(self, database: str, incarnation: str, entity_key: str) -> bytes:
        """Return the 32 bytes that name an entity's files (design.md section 3)."""
        return self.file_names.of(database, incarnation, entity_key)

    def decrypt(self, parsed: blob.Parsed, file_id: bytes) -> blob.Body:
        """Return what lies inside a blob; raises as `blob.decrypt`."""
        try:
            return blob.decrypt(parsed, file_id, self.data_keys)
        except KeyDestroyedError:
            raise
        except IntegrityError:
            self.instruments.decrypt_failures.add()
            raise

    def encrypt(
        self, header: blob.Header, body: blob.Body, file_id: bytes, header_extra: dict[str, Any]
    ) -> bytes:
        """Return a blob under the key that its header names.

        Raises:
            UnavailableError: This worker has forgotten its keys.
            IntegrityError: There is no such key.
        """
        try:
            key = self.data_keys.material(header.key_id)
            return blob.encrypt(header, body, file_id, key, header_extra)
        except Exception:
            self.instruments.encrypt_failures.add()
            raise

    def request_hash(self, file_id: bytes, request_id: str) -> bytes:
        """Return the keyed hash under which a request id is remembered in an entity."""
        tag = mac.tag(self.naming_key, _REQUEST_ID_LABEL, file_id, request_id.encode())
        return tag[:_REQUEST_ID_BYTES]

    def creation_seed(self, file_id: bytes, created_at: str) -> bytes:
        """Return 32 bytes that are secret and of one creation of one entity."""
        return mac.tag(self.naming_key, _CREATION_LABEL, file_id, created_at.encode())

    def request_digest(self, *parts: bytes) -> bytes:
        """Return the keyed hash that tells one request from another under the same id."""
        return mac.tag(self.naming_key, _DIGEST_LABEL, *parts)[:_DIGEST_BYTES]


def open_session(
    deployment: str,
    worker_id: str,
    lease: Lease,
    keys: tuple[Key, ...],
    instruments: Instruments | None = None,
) -> Session:
    """Return the session of the keys that a subscription brought."""

    def of(purpose: Purpose) -> tuple[Key, ...]:
        return tuple(key for key in keys if key.purpose == purpose)

    secrets: list[Secret] = []

    def hold(key: Key) -> Secret:
        secrets.append(Secret(key.material))
        return secrets[-1]

    _, naming_key = KeySet(of(Purpose.NAMING), hold).active()
    configuration_keys = KeySet(of(Purpose.CONFIGURATION), hold)
    return Session(
        deployment=deployment,
        worker_id=worker_id,
        lease=lease,
        data_keys=DataKeys(of(Purpose.DATA)),
        configuration_keys=configuration_keys,
        naming_key=naming_key,
        file_names=FileNames(naming_key),
        secrets=tuple(secrets),
        instruments=instruments or Instruments(),
    )
