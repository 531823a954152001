"""What administrators do with keys (design.md section 4)."""

from main_api.domain.caller import Caller
from main_api.service.callers.access import Access
from main_api.service.keys.live_keyring import LiveKeyring
from main_api.service.listing import Listing, check_limit
from strongroom import keyring
from strongroom.clock import Clock, rfc3339
from strongroom.errors import InvalidArgumentError
from strongroom.keyring import Key, Purpose


class Keys:
    """Lists and rotates data keys.

    Every method takes the action `admin` in a grant on every database, and raises ForbiddenError
    where it is missing.
    """

    def __init__(self, access: Access, live: LiveKeyring, clock: Clock) -> None:
        """Take the parts."""
        self._access = access
        self._live = live
        self._clock = clock

    def list(self, caller: Caller) -> tuple[Key, ...]:
        """Return the data keys, oldest first.

        Raises:
            IntegrityError, UnavailableError: The keyring's file cannot be read as one.
        """
        self._access.require_everywhere(caller)
        self._live.follow()
        return self._live.of(frozenset({Purpose.DATA}))

    def page(self, caller: Caller, limit: int, cursor: str) -> Listing[Key]:
        """Return a page of `list`.

        Raises:
            InvalidArgumentError: `limit` is not 1 to `limits.PAGE_SIZE_MAX`, or the cursor not one.
        """
        found = self.list(caller)
        check_limit(limit)
        key_ids = [key.key_id for key in found]
        if cursor and cursor not in key_ids:
            raise InvalidArgumentError("the cursor is not one of this listing")
        begin = key_ids.index(cursor) + 1 if cursor else 0
        records = found[begin : begin + limit]
        is_last = begin + limit >= len(found)
        return Listing(records, "" if is_last else records[-1].key_id, 0)

    def rotate(self, caller: Caller) -> Key:
        """Make a new data key active; the former ones still decrypt.

        Raises:
            BusyError: Others change the configuration for too long.
            ConflictError: The keyring has as many keys as it may have.
            IntegrityError, UnavailableError: The keyring's file cannot be read or written.
        """
        self._access.require_everywhere(caller)
        made = keyring.new_key(Purpose.DATA, rfc3339(self._clock.wall_ms()))
        self._live.change(lambda current: keyring.with_active(current, made))
        return made
