"""What a Lambda has counted, printed for CloudWatch (strongroom.metrics.embedded)."""

import sys
from typing import TYPE_CHECKING, Any

from strongroom.clock import SystemClock
from strongroom.metrics.instruments import Metrics

if TYPE_CHECKING:
    from strongroom.metrics.embedded import EmbeddedMetrics


class CloudWatch:
    """Is told of every request, and says nothing where it is not Lambda that calls."""

    def __init__(self, metrics: Metrics) -> None:
        """Take what the process counts with."""
        self._metrics = metrics
        self._embedded: EmbeddedMetrics | None = None

    def tell(self, context: Any) -> None:  # noqa: ANN401 - Lambda's own
        """Print what was counted since this was called last."""
        function = getattr(context, "function_name", "")
        if not function:
            return
        if self._embedded is None:
            # Imported where it is needed: nobody else pays for it.
            from strongroom.metrics.embedded import EmbeddedMetrics  # noqa: PLC0415

            self._embedded = EmbeddedMetrics(self._metrics, function)
        now_ms = SystemClock().wall_ms()
        sys.stdout.write(b"".join(self._embedded.lines(now_ms)).decode())
        sys.stdout.flush()
