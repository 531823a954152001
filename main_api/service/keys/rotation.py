"""Rotating by age or by amount written, without anybody asking (design.md section 4)."""

from main_api.domain import registry, rotation
from main_api.domain.rotation import ActiveKeyUse, Reason, RotationPolicy
from main_api.service.audit import entry as audit
from main_api.service.keys.live_keyring import LiveKeyring
from main_api.service.ports import ControlStore
from strongroom import keyring, limits, logs
from strongroom.clock import Clock, from_rfc3339, rfc3339
from strongroom.errors import ConflictError, StrongroomError
from strongroom.keyring import Keyring, Purpose, State

_log = logs.logger()


class _NotDueError(ConflictError):
    """Another Main Worker was faster."""


class Rotation:
    """Rotates when a policy says so. Any number of Main Workers may do it at the same time."""

    def __init__(self, live: LiveKeyring, store: ControlStore, clock: Clock) -> None:
        """Take the parts."""
        self._live = live
        self._store = store
        self._clock = clock
        self._trouble = ""

    def written_bytes(self, key_id: str) -> int:
        """Return what was written under the active key; approximate (docs/guarantees.md).

        Raises:
            UnavailableError: The disk refuses.
        """
        return registry.written_under(key_id, self._store.workers())

    def step(self, policy: RotationPolicy) -> Reason | None:
        """Rotate if it is due; return why it was done, None where it was not.

        What stands in the way is logged once; the next step tries anew.
        """
        try:
            reason = self._rotate_if_due(policy)
        except StrongroomError as error:
            if error.detail != self._trouble:
                _log.error("rotation-failed", code=error.code, reason=error.detail)
            self._trouble = error.detail
            return None
        self._trouble = ""
        return reason

    def _rotate_if_due(self, policy: RotationPolicy) -> Reason | None:
        if policy.is_off:
            return None
        self._live.follow()
        if self._due(policy, self._live.current) is None:
            return None
        reasons: list[Reason] = []

        def edit(newest: Keyring) -> Keyring:
            # Under the lock, on the newest keyring: two Main Workers must not rotate twice.
            reason = self._due(policy, newest)
            if reason is None:
                raise _NotDueError("another Main Worker has rotated")
            reasons.append(reason)
            audit.note(reason=reason.value)
            made = keyring.new_key(Purpose.DATA, rfc3339(self._clock.wall_ms()))
            return keyring.with_active(newest, made)

        try:
            with audit.because(by="rotation"):
                changed = self._live.change(edit)
        except _NotDueError:
            return None
        key_id = changed.active(Purpose.DATA).key_id
        _log.info("key-rotated", key_id=key_id, reason=reasons[0].value)
        return reasons[0]

    def _due(self, policy: RotationPolicy, current: Keyring) -> Reason | None:
        """Decide on a keyring; raises ConflictError where it has too many keys for one more."""
        active = current.active(Purpose.DATA)
        use = ActiveKeyUse(
            age_s=(self._clock.wall_ms() - from_rfc3339(active.created_at)) / 1000,
            written_bytes=self.written_bytes(active.key_id),
        )
        reason = rotation.due(policy, use)
        data = current.of(frozenset({Purpose.DATA}))
        kept = sum(key.state != State.DESTROYED for key in data)
        if reason is not None and kept >= limits.ROTATED_KEYS_MAX:
            raise ConflictError(
                f"the keyring has {kept} data keys: rewrap, and destroy those that no file needs,"
                " before another one is made"
            )
        return reason
