"""How long what is ready waits for an event loop that is busy with something else."""

import asyncio
import threading
from time import perf_counter
from typing import Final

_PATIENCE_S: Final = 1.0


def wait_s(loop: asyncio.AbstractEventLoop) -> float:
    """Measure it, from another thread; one second where it takes that long or longer."""
    had = threading.Event()
    began_s = perf_counter()
    try:
        loop.call_soon_threadsafe(had.set)
    except RuntimeError:  # it was closed: the process is ending
        return 0.0
    had.wait(_PATIENCE_S)
    return min(perf_counter() - began_s, _PATIENCE_S)
