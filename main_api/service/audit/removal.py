"""Removing what was recorded long ago: the only way in which something leaves the audit log.

That it was removed, and of what time, is in the log itself, signed: so a verification tells it from
what somebody has taken away.
"""

from dataclasses import dataclass
from typing import Final

from main_api.domain.audit import names, segments
from main_api.domain.audit.names import SegmentName
from main_api.domain.caller import Caller
from main_api.service.audit import entry as audit_entry
from main_api.service.audit.journal import Journal
from main_api.service.audit.ports import AuditSegments
from main_api.service.callers.access import Access
from strongroom import limits
from strongroom.clock import Clock, from_rfc3339, rfc3339
from strongroom.errors import IntegrityError, InvalidArgumentError

_DAY_MS: Final = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Removed:
    """How many segments were removed, and of which time: what was written before that, RFC 3339."""

    segments: int
    before: str


class AuditRemoval:
    """Removes old segments."""

    def __init__(
        self, access: Access, journal: Journal, stored: AuditSegments, clock: Clock
    ) -> None:
        """Take the parts."""
        self._access = access
        self._journal = journal
        self._stored = stored
        self._clock = clock

    def remove(self, caller: Caller, before: str) -> Removed:
        """Remove the segments in which nothing was written since an instant, RFC 3339.

        What is left is what had begun before and went on. A crash midway leaves more than that;
        the same request again removes it.

        Raises:
            ForbiddenError: The caller does not administer everything.
            InvalidArgumentError: That is no instant, or not at least `limits.AUDIT_KEPT_DAYS_MIN`
                days ago.
            UnavailableError: The disk refuses.
        """
        self._access.require_everywhere(caller)
        before_ms = _instant(before)
        if before_ms > self._clock.wall_ms() - limits.AUDIT_KEPT_DAYS_MIN * _DAY_MS:
            raise InvalidArgumentError(
                f"what is removed was written at least {limits.AUDIT_KEPT_DAYS_MIN} days ago"
            )
        self._journal.mark_removal(before_ms)
        found = [name for name in map(names.parse, self._stored.names()) if name is not None]
        removed = 0
        for name in sorted(found):
            if name.begun_ms < before_ms and self._has_ended_before(name, before_ms):
                self._stored.remove(str(name))
                removed += 1
        audit_entry.note(before=rfc3339(before_ms), segments=removed)
        return Removed(removed, rfc3339(before_ms))

    def _has_ended_before(self, name: SegmentName, before_ms: int) -> bool:
        """Tell whether nothing was written to a segment since; what is damaged is not touched."""
        if not names.is_frozen(name, self._clock.wall_ms()):
            return False
        try:
            segment = segments.parse(self._stored.read(str(name)) or b"")
        except IntegrityError:
            return False
        if segment.header is None or segment.rest is segments.Rest.CHANGED:
            return False
        return all(block.at_ms < before_ms for block in segment.blocks)


def _instant(text: str) -> int:
    try:
        found = from_rfc3339(text)
        is_one = text.endswith("Z") and found > 0
    except (ValueError, OverflowError):
        is_one = False
    if not is_one:
        raise InvalidArgumentError("before is an instant like 2026-01-01T00:00:00Z")
    return found
