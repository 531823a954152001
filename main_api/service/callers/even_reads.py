"""Records that are looked up by whoever asks, so that found and missing cost the same.

Opening a record takes longer than finding none. So each look-up is two reads, of one record that is
there and of one that is not, whichever of them was asked for.
"""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from strongroom import ids
from strongroom.errors import IntegrityError, UnavailableError

Record = TypeVar("Record")


class EvenReads(Generic[Record]):
    """Reads records of one kind. Safe under threads."""

    def __init__(
        self, get: Callable[[str], Record | None], names: Callable[[], Iterable[str]]
    ) -> None:
        """Take what reads a record, and what tells the names of those that are there."""
        self._get = get
        self._names = names
        self._stand_in = ""
        self._absent = ids.new_id()

    def get(self, name: str) -> Record | None:
        """Return a record, None where there is none; raises as what reads one."""
        found = self._get(name)
        if found is None:
            self._read_another()
        else:
            self._get(self._absent)
        return found

    def _read_another(self) -> None:
        """Read some record, in the place of the one that is not there."""
        try:
            if self._stand_in == "" or self._get(self._stand_in) is None:
                self._stand_in = next(iter(self._names()), "")
        except (IntegrityError, UnavailableError):
            # What is asked for does not exist, whatever is wrong with another record.
            self._stand_in = ""
