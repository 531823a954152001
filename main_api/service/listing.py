"""Pages of records, in the order of their names."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from strongroom import limits
from strongroom.errors import IntegrityError, InvalidArgumentError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A page of records.

    Attributes:
        records: What was found.
        cursor: Where the next page begins; empty for the end.
        damaged: How many records did not verify; they are left out.
    """

    records: tuple[T, ...]
    cursor: str
    damaged: int


def page(
    names: Iterable[str],
    read: Callable[[str], T | None],
    limit: int,
    after: str,
    *,
    newest_first: bool = False,
) -> Listing[T]:
    """Return the first records behind a name, no more than fit into an answer.

    Args:
        names: In their order; those that come before a page are passed over by comparison, so that
            it begins at the same place though its predecessor was removed.
        read: Returns a record, None for a name of which there is none to show.
        limit: How many records, at the most.
        after: The last name of the page before; empty to begin.
        newest_first: The names are in descending order.

    Raises:
        InvalidArgumentError: `limit` is not 1 to `limits.PAGE_SIZE_MAX`, or `after` no name.
    """
    check_limit(limit)
    if len(after) > limits.CURSOR_CHARS_MAX:
        raise InvalidArgumentError("the cursor is not one of this listing")
    found: list[T] = []
    last, damaged, left_bytes = after, 0, limits.PAGE_BYTES_MAX
    for name in names:
        if after and (name >= after if newest_first else name <= after):
            continue
        try:
            record = read(name)
        except IntegrityError:
            damaged += 1
            continue
        if record is not None:
            left_bytes -= len(msgspec.json.encode(record))
            if len(found) == limit or (found and left_bytes < 0):
                return Listing(tuple(found), last, damaged)
            found.append(record)
            last = name
    return Listing(tuple(found), "", damaged)


def check_limit(limit: int) -> None:
    """Refuse a page of no or too many records.

    Raises:
        InvalidArgumentError: `limit` is not 1 to `limits.PAGE_SIZE_MAX`.
    """
    if not 1 <= limit <= limits.PAGE_SIZE_MAX:
        raise InvalidArgumentError(f"limit is 1 to {limits.PAGE_SIZE_MAX}")
