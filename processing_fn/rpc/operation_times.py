"""How long operations take, by their names and by how they end."""

from collections.abc import Callable
from typing import Final

from strongroom.metrics import catalogue
from strongroom.metrics.instruments import OTHER, Metrics
from strongroom_pb.v1 import processing_pb2 as pb

OK: Final = "ok"
_NAMES: Final[dict[int, str]] = {
    number: name.removeprefix("OPERATION_").lower().replace("_", "-")
    for name, number in pb.Operation.items()
}


class OperationTimes(dict[tuple[int | str, str], Callable[[float], None]]):
    """By operation and outcome, what takes how many seconds one has taken.

    An operation is a number of the proto file or a name; an outcome is `OK` or an error's code. It
    is a dictionary, since each call is worth less than a hundred of these lookups. Safe under
    threads.
    """

    def __init__(self, metrics: Metrics, suffix: str = "") -> None:
        """Take where to count, and what the names of numbers end in."""
        super().__init__()
        self._times = metrics.histograms(catalogue.OPERATION_SECONDS)
        self._suffix = suffix

    def __missing__(self, key: tuple[int | str, str]) -> Callable[[float], None]:
        """Make what takes them, and keep it where there is such an operation."""
        operation, outcome = key
        if isinstance(operation, str):
            name = operation
        elif operation in _NAMES:
            name = _NAMES[operation] + self._suffix
        else:
            return self._times.of(OTHER, outcome).observe
        self[key] = self._times.of(name, outcome).observe
        return self[key]
