"""What lies in a deployment beside what an earlier backup of it holds."""

from collections.abc import Iterable, Iterator

from cli.backup.domain.entries import EntityEntry

Known = tuple[str, str, EntityEntry | None]
"""Database, file-id, and the entry of an earlier backup."""


def merged(listed: Iterable[tuple[str, str]], earlier: Iterable[EntityEntry]) -> Iterator[Known]:
    """Yield every entity that is listed or was there before, in order; in memory is one of each.

    One that was there before and is not listed now is yielded too: on some filesystems a listing
    misses a name that is renamed over meanwhile, so it is asked for by name.
    """
    before = iter(earlier)
    known = next(before, None)
    for order in listed:
        while known is not None and known.order < order:
            yield *known.order, known
            known = next(before, None)
        if known is not None and known.order == order:
            yield *order, known
            known = next(before, None)
        else:
            yield *order, None
    while known is not None:
        yield *known.order, known
        known = next(before, None)
