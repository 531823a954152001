"""`strongroom demo`: starts a deployment, takes the steps, stops it and removes what was made."""

import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cli.demo import caching, disk, failover, put, report, stage, subscription
from cli.demo.stage import CACHE_BYTES, Stage
from cli.demo.step import Step, as_json, shortcomings
from cli.emulation.deployment import LocalDeployment, Options
from strongroom import logs
from strongroom.errors import StrongroomError

STEPS: Final[tuple[Callable[[Stage], Step], ...]] = (
    subscription.show,
    put.show,
    disk.show,
    caching.show_miss_and_hit,
    caching.show_eviction,
    caching.show_reload,
    failover.show,
)
"""In the order in which they build on each other."""

_WORKERS: Final = 2


def run(*, json: bool) -> None:
    """Take every step and print it, as text or as one JSON array.

    Raises:
        StrongroomError: The deployment does not start, a step cannot be taken, or something was
            not as it should be; the detail says what.
        KeyboardInterrupt: SIGINT or SIGTERM came. Also then nothing stays behind.
        OSError: The disk refuses.
    """
    # What the libraries log would mix with the steps.
    logs.configure("demo")
    steps = _json() if json else _text()
    missed = shortcomings(steps)
    if missed:
        raise StrongroomError("the demonstration did not show\n" + "\n".join(missed))


def _json() -> list[Step]:
    steps = _take_steps(lambda _number, _step: None)
    sys.stdout.write(as_json(steps) + "\n")
    return steps


def _text() -> list[Step]:
    out = report.console()
    out.print(
        f"Starting a deployment of {_WORKERS} Processing Workers with {CACHE_BYTES} bytes of cache"
        " each."
    )
    steps = _take_steps(lambda number, step: report.show(out, number, step))
    out.print("\nThe deployment is stopped, and its temporary directory removed.")
    return steps


def _take_steps(each: Callable[[int, Step], None]) -> list[Step]:
    """Take one step after the other on a deployment that is gone afterwards."""
    steps = []
    with _deployment() as (running, stopping), stage.opened(running) as opened:
        for number, show in enumerate(STEPS, 1):
            if stopping.is_set():
                raise KeyboardInterrupt
            try:
                steps.append(show(opened))
            except (StrongroomError, OSError) as error:
                raise StrongroomError(f"step {number} could not be taken: {error}") from error
            each(number, steps[-1])
    return steps


@contextmanager
def _deployment() -> Iterator[tuple[LocalDeployment, threading.Event]]:
    """Run a deployment in a directory of its own, and leave neither behind.

    A signal is only noted, in the event, so that it never breaks into a library's work or into the
    tidying up. Ctrl-C reaches the deployment's processes as well: what fails then is no failure.
    """
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with tempfile.TemporaryDirectory(prefix="strongroom-demo-") as directory:
        deployment = LocalDeployment(_options(Path(directory)))
        try:
            deployment.start()
            yield deployment, stopping
        except Exception:
            if stopping.is_set():
                raise KeyboardInterrupt from None
            raise
        finally:
            deployment.stop()


def _options(root: Path) -> Options:
    return Options(
        root=root,
        http="127.0.0.1:0",
        grpc="127.0.0.1:0",
        workers=_WORKERS,
        worker_environment={"STRONGROOM_CACHE_BYTES": str(CACHE_BYTES)},
    )
