"""The keys that sign tokens: replaced by order or by age, published for whoever verifies."""

from dataclasses import dataclass

from main_api.domain.caller import Caller
from main_api.domain.rotation import SECONDS_PER_DAY
from main_api.service.audit import entry as audit
from main_api.service.callers.access import Access
from main_api.service.keys.live_keyring import LiveKeyring
from strongroom import keyring, limits, logs, signing_keys, tokens
from strongroom.clock import Clock, from_rfc3339, rfc3339
from strongroom.errors import ConflictError, StrongroomError
from strongroom.keyring import Key, Keyring, Keys, Purpose

_log = logs.logger()


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """The public half of a signing key.

    Attributes:
        key_id: The `kid` of the tokens that it verifies.
        created_at: RFC 3339.
        public_key: Ed25519, 32 bytes.
        is_signing: Whether tokens are signed with it now.
    """

    key_id: str
    created_at: str
    public_key: bytes
    is_signing: bool


class SigningKeys:
    """Replaces and publishes signing keys; what happens when is decided in `signing_keys`."""

    def __init__(self, access: Access, live: LiveKeyring, keys: Keys, clock: Clock) -> None:
        """Take the parts; `keys` are those that tokens are signed with."""
        self._access = access
        self._live = live
        self._keys = keys
        self._clock = clock
        self._trouble = ""

    def published(self) -> tuple[PublishedKey, ...]:
        """Return the keys by which a token may verify now, or soon; for anybody to see."""
        now_ms = self._clock.wall_ms()
        keys = self._keys.of(signing_keys.PURPOSE)
        signing = signing_keys.signing(keys, now_ms)
        return tuple(
            PublishedKey(
                key.key_id, key.created_at, tokens.public_key(key), key.key_id == signing.key_id
            )
            for key in signing_keys.verifying(keys, now_ms)
        )

    def rotate(self, caller: Caller) -> Key:
        """Make a new signing key, which signs in `limits.SIGNING_KEY_PUBLISHED_SECONDS`.

        Raises:
            ForbiddenError: The caller does not administer everything.
            ConflictError: The last one does not sign yet.
            BusyError: Others change the configuration for too long.
            IntegrityError, UnavailableError: The keyring's file cannot be read or written.
        """
        self._access.require_everywhere(caller)
        return _newest(self._live.change(self._rotated))

    def step(self, after_days: float | None) -> None:
        """Replace the key when it is that old, and destroy those that are of no use any more.

        Any number of Main Workers may do it at the same time. What stands in the way is logged
        once; the next step tries anew.
        """
        trouble = ""
        try:
            self._step(after_days)
        except StrongroomError as error:
            trouble = error.detail
            if trouble != self._trouble:
                _log.error("rotation-failed", code=error.code, reason=trouble)
        self._trouble = trouble

    def _step(self, after_days: float | None) -> None:
        def edit(newest: Keyring) -> Keyring:
            if self._is_due(newest, after_days):
                return self._rotated(newest)
            kept = signing_keys.without_spent(newest, self._clock.wall_ms())
            if kept is newest:
                raise _NothingToDoError("another Main Worker was faster")
            return kept

        self._live.follow()
        before = self._live.current
        try:
            edit(before)
            # Once more, under the lock and on the newest keyring: two must not rotate twice.
            with audit.because(by="rotation", reason="age"):
                changed = self._live.change(edit)
        except _NothingToDoError:
            return
        if _newest(changed) != _newest(before):
            _log.info("key-rotated", key_id=_newest(changed).key_id, reason="age")

    def _is_due(self, current: Keyring, after_days: float | None) -> bool:
        age_s = (self._clock.wall_ms() - from_rfc3339(_newest(current).created_at)) / 1000
        is_old = after_days is not None and age_s >= after_days * SECONDS_PER_DAY
        return is_old and age_s >= limits.SIGNING_KEY_PUBLISHED_SECONDS

    def _rotated(self, newest: Keyring) -> Keyring:
        # Dated under the lock: from now on it takes a moment until everybody knows the key.
        now_ms = self._clock.wall_ms()
        made = keyring.new_key(Purpose.TOKEN_SIGNING, rfc3339(now_ms))
        return signing_keys.rotated(newest, made, now_ms)


class _NothingToDoError(ConflictError):
    """No key is due, and none is of no use."""


def _newest(current: Keyring) -> Key:
    return current.of(signing_keys.PURPOSE)[-1]
