"""Processing Workers coming into service: Subscribe, Register, Renew, Leave (design.md section 4).

The faces pass on whom a certificate has proven the caller to be. A worker acts in its own name
only; from Register on it also presents the token of its subscription, and a later subscription of
the same worker supersedes an earlier one.
"""

import re
from dataclasses import dataclass

import msgspec

from main_api.domain import registry
from main_api.domain.registry import NO_REPORT, Report, WorkerRecord
from main_api.service.keys.live_keyring import LiveKeyring
from main_api.service.ports import ControlStore
from main_api.service.workers import presence
from strongroom import ids, limits, logs, tokens
from strongroom.clock import Clock, rfc3339
from strongroom.crypto import seal
from strongroom.errors import (
    ConflictError,
    ForbiddenError,
    IntegrityError,
    InvalidArgumentError,
    UnauthenticatedError,
)
from strongroom.keyring import WORKER_PURPOSES, Key, Purpose, State

_ADDRESS = re.compile(r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")
_PORTS = 1 << 16
_TIME_DIGITS = 12
_log = logs.logger()


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A key that only the subscribed worker can open; `sealed` is empty for a destroyed one."""

    key_id: str
    purpose: str
    state: State
    created_at: str
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Vended:
    """What FetchKeys answers: keys, the generation of their keyring, and its active data key."""

    keys: tuple[SealedKey, ...]
    generation: int
    active_id: str


@dataclass(frozen=True, slots=True)
class Grant:
    """What Subscribe answers."""

    deployment: str
    token: str
    key_id: str
    lease_s: int
    keys: tuple[SealedKey, ...]
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Lease:
    """What Register and Renew answer; `main_addresses` are those of the gRPC Main Workers."""

    token: str
    lease_s: int
    wall_ms: int
    main_addresses: tuple[str, ...] = ()


class Subscriptions:
    """Vends keys and keeps the registry."""

    def __init__(
        self,
        keyring: LiveKeyring,
        store: ControlStore,
        clock: Clock,
        *,
        least: seal.Suite = seal.Suite.X25519,
    ) -> None:
        """Take the parts; `least` is the weakest suite that keys are sealed with."""
        self._least = least
        self._keyring = keyring
        self._store = store
        self._clock = clock

    def subscribe(
        self, proven_id: str, worker_id: str, public_key: bytes, suite: str = ""
    ) -> Grant:
        """Seal the worker's keys to its public key.

        Raises:
            UnauthenticatedError: The certificate names another worker.
            ForbiddenError: The worker is revoked, or the suite is weaker than this deployment's.
            InvalidArgumentError: There is no such suite, or `public_key` is not one of it.
        """
        _require_own_name(proven_id, worker_id)
        self._require_not_revoked(worker_id)
        vended = self._sealed(worker_id, public_key, suite)
        return Grant(
            deployment=self._keyring.deployment,
            token=self._token(worker_id, self._new_subscription_id()),
            key_id=vended.active_id,
            lease_s=limits.LEASE_SECONDS,
            keys=vended.keys,
            wall_ms=self._clock.wall_ms(),
        )

    def register(
        self,
        proven_id: str,
        worker_id: str,
        token: str,
        address: str,
        *,
        certificate_until_ms: int = 0,
        report: Report = NO_REPORT,
    ) -> Lease:
        """List the worker as available at an address; its certificate ends at that time.

        Raises:
            UnauthenticatedError: The token or the certificate is not this worker's.
            ForbiddenError: The worker is revoked.
            InvalidArgumentError: The address is not host:port, or `report` is none.
        """
        registry.check(report)
        subscription_id = self._verify(proven_id, worker_id, token)
        if _ADDRESS.fullmatch(address) is None or not 0 < int(address.rpartition(":")[2]) < _PORTS:
            raise InvalidArgumentError("the address is host:port")
        known, superseded_until_ms = self._before(worker_id, subscription_id)
        if known is not None and known.subscription_id >= subscription_id:
            is_same = known.subscription_id == subscription_id
            if not (is_same and known.is_live(self._clock.wall_ms())):
                raise UnauthenticatedError("the subscription is over; subscribe anew")
        # What they have written under the active key must not be forgotten with them. A crash in
        # between counts it twice, which is on the safe side.
        active = self._keyring.active(Purpose.DATA).key_id
        gone = [one for one in self._long_gone() if one.worker_id != worker_id]
        before = gone if known is None else [known, *gone]
        lease = self._list(
            WorkerRecord(
                worker_id=worker_id,
                address=address,
                subscription_id=subscription_id,
                registered_at=rfc3339(self._clock.wall_ms()),
                lease_until_ms=0,
                certificate_until_ms=certificate_until_ms,
                superseded_until_ms=superseded_until_ms,
                written_key_id=active,
                written_bytes=registry.written_under(active, before),
                report=report,
            )
        )
        for record in gone:
            self._store.remove_worker(record.worker_id)
        return lease

    def fetch_keys(
        self, proven_id: str, worker_id: str, token: str, public_key: bytes, suite: str = ""
    ) -> Vended:
        """Seal the worker's keys, as they are now, to its public key.

        Raises:
            UnauthenticatedError: As `renew`.
            ForbiddenError, InvalidArgumentError: As `subscribe`.
        """
        self._own_record(proven_id, worker_id, token)
        return self._sealed(worker_id, public_key, suite)

    def require(self, proven_id: str, worker_id: str, token: str) -> None:
        """Let pass who has a lease; raises as `renew`."""
        self._own_record(proven_id, worker_id, token)

    def require_unused(self, worker_id: str) -> None:
        """Let pass a name that no worker has now.

        Raises:
            ForbiddenError: It is a revoked worker's.
            ConflictError: It is a live worker's.
            UnavailableError: The disk refuses.
        """
        self._require_not_revoked(worker_id)
        record = self._store.worker(worker_id)
        if record is not None and record.lease_until_ms > self._clock.wall_ms():
            raise ConflictError(f"there is a worker {worker_id}; its lease has not ended")

    def revoked_workers(self) -> frozenset[str]:
        """Return who is revoked now; raises UnavailableError when the disk refuses."""
        return frozenset(self._store.revocations.names())

    def renew(
        self,
        proven_id: str,
        worker_id: str,
        token: str,
        key_id: str = "",
        generation: int = 0,
        *,
        written_bytes: int = 0,
        certificate_until_ms: int = 0,
        report: Report = NO_REPORT,
    ) -> Lease:
        """Extend a lease that still runs.

        Args:
            proven_id: Whom the certificate names.
            worker_id: Who asks.
            token: The subscription's.
            key_id: The one data key that the worker writes under, as it confirms; empty for none.
            generation: The keyring's that it has the keys of, as it confirms; 0 for none.
            written_bytes: What it has written under `key_id` since the last renewal.
            certificate_until_ms: When the certificate that it shows now ends; 0 for unknown.
            report: What it tells of itself.

        Raises:
            InvalidArgumentError: `written_bytes` is no such amount, or `report` is none.
            UnauthenticatedError: The token or the certificate is not this worker's, the lease has
                ended, or a later subscription has taken its place.
            ForbiddenError: The worker is revoked.
        """
        record = self._own_record(proven_id, worker_id, token)
        if not 0 <= written_bytes <= limits.WRITTEN_BYTES_TOLD_MAX:
            raise InvalidArgumentError("written_bytes is no amount that a worker writes")
        registry.check(report)
        # Of an older key nobody asks; one that is not known here yet is the next active one.
        if key_id and key_id not in self._older_data_keys():
            record = registry.with_written(record, key_id, written_bytes)
        return self._list(
            msgspec.structs.replace(
                record,
                key_id=key_id or record.key_id,
                generation=max(generation, record.generation),
                certificate_until_ms=certificate_until_ms,
                report=report,
                superseded_until_ms=registry.superseded_until_ms(
                    record, record.subscription_id, self._clock.wall_ms()
                ),
            )
        )

    def leave(self, proven_id: str, worker_id: str, token: str) -> None:
        """List the worker no longer; raises as `renew`."""
        record = self._own_record(proven_id, worker_id, token)
        # The record stays for a while, so that this subscription cannot register again.
        self._store.put_worker(msgspec.structs.replace(record, has_left=True))

    def _before(self, worker_id: str, subscription_id: str) -> tuple[WorkerRecord | None, int]:
        """Return a worker's record, and until when earlier subscriptions of it may still write.

        A record that does not verify must not keep its worker out of service. A lease that was
        given just before is waited for.
        """
        now_ms = self._clock.wall_ms()
        try:
            known = self._store.worker(worker_id)
        except IntegrityError as error:
            _log.error("registry-record-unreadable", worker_id=worker_id, reason=error.detail)
            return None, now_ms + limits.LEASE_SECONDS * 1000
        return known, registry.superseded_until_ms(known, subscription_id, now_ms)

    def _own_record(self, proven_id: str, worker_id: str, token: str) -> WorkerRecord:
        subscription_id = self._verify(proven_id, worker_id, token)
        record = self._store.worker(worker_id)
        if record is None or not record.is_live(self._clock.wall_ms()):
            raise UnauthenticatedError("the lease has ended; subscribe anew")
        if record.subscription_id != subscription_id:
            raise UnauthenticatedError("a later subscription has taken the place of this one")
        return record

    def _list(self, record: WorkerRecord) -> Lease:
        now_ms = self._clock.wall_ms()
        lease_until_ms = now_ms + limits.LEASE_SECONDS * 1000
        self._store.put_worker(msgspec.structs.replace(record, lease_until_ms=lease_until_ms))
        # One revoked meanwhile must not be told that its lease goes on.
        self._require_not_revoked(record.worker_id)
        token = self._token(record.worker_id, record.subscription_id)
        mains = presence.addresses(self._store, now_ms)
        return Lease(token, limits.LEASE_SECONDS, now_ms, mains)

    def _require_not_revoked(self, worker_id: str) -> None:
        if worker_id in self.revoked_workers():
            raise revoked()

    def _new_subscription_id(self) -> str:
        """Return a random id that sorts after every earlier one, by the millisecond."""
        return f"{self._clock.wall_ms():012x}{ids.new_id(64)}"

    def _older_data_keys(self) -> set[str]:
        data = self._keyring.of(frozenset({Purpose.DATA}))
        return {key.key_id for key in data if key.state != State.ACTIVE}

    def _long_gone(self) -> list[WorkerRecord]:
        long_ago_ms = self._clock.wall_ms() - limits.REGISTRY_KEPT_SECONDS * 1000
        return [
            record
            for record in self._store.workers()
            if record.lease_until_ms < long_ago_ms and _subscribed_ms(record) < long_ago_ms
        ]

    def _sealed(self, worker_id: str, public_key: bytes, name: str) -> Vended:
        suite = seal.suite(name)
        if self._least == seal.Suite.MLKEM768_X25519 and suite != self._least:
            raise ForbiddenError(
                f"this deployment seals keys with {self._least} alone: set"
                f" STRONGROOM_SEALING={self._least} for the worker"
            )
        self._follow()
        # Of one moment: a rotation may come in between.
        current = self._keyring.current
        keys = current.of(WORKER_PURPOSES)
        return Vended(
            tuple(self._seal(key, worker_id, public_key, suite) for key in keys),
            current.generation,
            current.active(Purpose.DATA).key_id,
        )

    def _follow(self) -> None:
        """Take a rotation by another Main Worker over: it is in force since it was written."""
        try:
            self._keyring.follow()
        except IntegrityError as error:
            # What is in use stays in use: nobody can rotate while the file is damaged.
            _log.error("keyring-unreadable", code=error.code, reason=error.detail)

    def _seal(self, key: Key, worker_id: str, public_key: bytes, suite: seal.Suite) -> SealedKey:
        deployment = self._keyring.deployment
        binding = seal.info(deployment, worker_id, key.purpose, key.key_id, suite)
        return SealedKey(
            key_id=key.key_id,
            purpose=key.purpose,
            state=key.state,
            created_at=key.created_at,
            sealed=seal.seal(public_key, key.material, binding, suite) if key.material else b"",
        )

    def _token(self, worker_id: str, subscription_id: str) -> str:
        return tokens.issue(
            self._keyring,
            self._clock,
            audience=tokens.WORKER_AUDIENCE,
            subject=worker_id,
            scope=frozenset({subscription_id}),
            lifetime_s=limits.WORKER_TOKEN_SECONDS,
        )

    def _verify(self, proven_id: str, worker_id: str, token: str) -> str:
        """Return the subscription's id."""
        _require_own_name(proven_id, worker_id)
        self._require_not_revoked(worker_id)
        claims = tokens.verify(self._keyring, self._clock, token, audience=tokens.WORKER_AUDIENCE)
        if claims.subject != worker_id or len(claims.scope) != 1:
            raise UnauthenticatedError("the token is another worker's")
        return next(iter(claims.scope))


def revoked() -> ForbiddenError:
    """Return what a revoked worker is told."""
    return ForbiddenError("this worker is revoked; an administrator can reinstate it")


def _subscribed_ms(record: WorkerRecord) -> int:
    return int(record.subscription_id[:_TIME_DIGITS], 16)


def _require_own_name(proven_id: str, worker_id: str) -> None:
    if proven_id != ids.worker_id(worker_id):
        raise UnauthenticatedError("the certificate names another worker")
