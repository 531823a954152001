"""Clients' secrets: how they are made, stored and compared (RFC 6749 section 2.3.1).

A secret has 256 random bits, so what is stored of it is a MAC under a key of the keyring and no
slow hash. An unknown client costs what a known one does: the same reads of the shared directory,
the same MACs, compared in constant time.
"""

import base64
import secrets

import msgspec

from main_api.service.audit import entry as audit
from main_api.service.callers.even_reads import EvenReads
from main_api.service.ports import ClientRecord, ControlStore, Kind, RetiringSecret
from strongroom import ids, limits
from strongroom.clock import Clock, rfc3339
from strongroom.crypto import mac
from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    UnauthenticatedError,
)
from strongroom.keyring import Keys, Purpose

_SECRET_BYTES = 32
_SECRET_LABEL = b"strongroom/client-secret/v1"
_NO_TAG = base64.b64encode(bytes(mac.TAG_BYTES)).decode()


class ClientSecrets:
    """Makes and checks the secrets of clients. Safe under threads."""

    def __init__(self, keyring: Keys, store: ControlStore, clock: Clock) -> None:
        """Take the parts."""
        self._keyring = keyring
        self._store = store
        self._clock = clock
        self._records = EvenReads(store.client, lambda: store.names(Kind.CLIENT))

    def new(self, client_id: str) -> tuple[str, str, str]:
        """Return a new secret, its MAC in base64, and the id of the key that the MAC is under."""
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        key = self._keyring.active(Purpose.CLIENT_SECRET)
        tag = mac.tag(key.material, _SECRET_LABEL, client_id.encode(), secret.encode())
        return secret, base64.b64encode(tag).decode(), key.key_id

    def rotated(self, client: ClientRecord, overlap_s: int) -> tuple[ClientRecord, str]:
        """Return the client with a new secret, and that secret.

        The secret so far stays valid for `overlap_s` seconds, 0 to
        `limits.SECRET_OVERLAP_SECONDS_MAX`. One that was still valid beside it is not any more, so
        that there are two at the most.

        Raises:
            InvalidArgumentError: `overlap_s` is out of its bounds.
        """
        if not 0 <= overlap_s <= limits.SECRET_OVERLAP_SECONDS_MAX:
            raise InvalidArgumentError(
                f"overlap_seconds is 0 to {limits.SECRET_OVERLAP_SECONDS_MAX}"
            )
        retiring = RetiringSecret(
            secret_mac=client.secret_mac,
            secret_key_id=client.secret_key_id,
            valid_until=rfc3339(self._clock.wall_ms() + overlap_s * 1000),
        )
        secret, secret_mac, key_id = self.new(client.client_id)
        changed = msgspec.structs.replace(
            client,
            secret_mac=secret_mac,
            secret_key_id=key_id,
            retiring=retiring if overlap_s else None,
        )
        return changed, secret

    def authenticate(self, client_id: str, client_secret: str) -> ClientRecord:
        """Return the client whose credentials these are.

        Raises:
            UnauthenticatedError: Unknown client or wrong secret, indistinguishably.
            IntegrityError, UnavailableError: The client's record cannot be read.
        """
        client = self._looked_up(client_id)
        parts = (_SECRET_LABEL, client_id.encode(), client_secret.encode())
        retiring = client.retiring if client else None
        if retiring is not None and rfc3339(self._clock.wall_ms()) >= retiring.valid_until:
            retiring = None
        # Both are computed, whether there are two, one or none.
        is_current = self._matches(client, parts)
        is_retiring = self._matches(retiring, parts)
        if client is None or not (is_current or is_retiring):
            raise UnauthenticatedError("unknown client or wrong secret")
        audit.proven_client(client.client_id)
        return client

    def _matches(
        self, stored: ClientRecord | RetiringSecret | None, parts: tuple[bytes, ...]
    ) -> bool:
        key_id = (
            stored.secret_key_id if stored else self._keyring.active(Purpose.CLIENT_SECRET).key_id
        )
        key = self._keyring.find(key_id, Purpose.CLIENT_SECRET)
        expected = base64.b64decode(stored.secret_mac if stored else _NO_TAG)
        try:
            mac.verify(key.material, expected, *parts)
        except IntegrityError:
            return False
        return stored is not None

    def _looked_up(self, client_id: str) -> ClientRecord | None:
        """Read a client; that a text which is no client id names none is public."""
        if not _is_client_id(client_id):
            return None
        return self._records.get(client_id)


def _is_client_id(text: str) -> bool:
    try:
        ids.client_id(text)
    except InvalidArgumentError:
        return False
    return True
