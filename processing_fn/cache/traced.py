"""What the cache could do for a request, as an attribute of its span."""

from processing_fn.cache.document_cache import DocumentCache
from strongroom import tracing


class NotedCache(DocumentCache):
    """A cache that tells the span of a request what it counts: a hit, a miss and so on."""

    def count(self, event: str) -> None:
        """Count."""
        super().count(event)
        tracing.note({"strongroom.cache": event})
