"""Spans of what a read comes to when nothing has to be loaded, and of waits for a lock.

These stand in for what they extend where spans are exported, and only there: every warm read comes
through here, and asking whether somebody wants a span would cost it something.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from processing_fn.domain.coherence import Witness
from processing_fn.service.ports import Place
from processing_fn.storage.entity_files import EntityFiles
from processing_fn.storage.locks import EntityLocks
from strongroom import limits, tracing


class SpannedFiles(EntityFiles):
    """Entity files whose checks of what is cached are spans."""

    @tracing.spanned("check currency")
    def is_current(self, place: Place, witness: Witness) -> bool:
        """Ask the disk."""
        return super().is_current(place, witness)


class SpannedLocks(EntityLocks):
    """Locks for which waiting is a span."""

    @contextmanager
    def exclusive(
        self, file_id: bytes, wait_s: float = limits.LOCK_WAIT_SECONDS
    ) -> Iterator[float]:
        """Wait, then hold it."""
        with ExitStack() as held:
            with tracing.within("lock wait"):
                locked_at_s = held.enter_context(super().exclusive(file_id, wait_s))
            yield locked_at_s
