"""A progress bar on standard error, for eyes; what is meant for a pipe goes to standard output."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class Bar:
    """Shows how far something has come; nothing at all where standard error is no terminal."""

    def __init__(self, described: str) -> None:
        """Take what stands beside it at first."""
        console = Console(stderr=True)
        self._progress = Progress(
            # What is told may hold brackets, which are no markup of ours.
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(described, total=None)

    def __enter__(self) -> Self:
        """Show it."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take it away."""
        self._progress.stop()

    @property
    def elapsed_s(self) -> float:
        """How long it is shown; never 0."""
        return max(self._progress.tasks[0].elapsed or 0, 0.001)

    @property
    def rate(self) -> float:
        """How many are done in a second, of late."""
        return self._progress.tasks[0].speed or 0.0

    def restart(self) -> None:
        """Begin anew: time left and rate are those of what comes now."""
        self._progress.reset(self._task, total=None)

    def count(self, done: int, total: int | None) -> None:
        """Show how many are done of how many; None where nobody knows."""
        self._progress.update(self._task, completed=done, total=total)

    def tell(self, described: str) -> None:
        """Show what stands beside it."""
        self._progress.update(self._task, description=described, refresh=True)
