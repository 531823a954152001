"""How fast something goes that is called again and again."""

import time
from collections.abc import Callable
from typing import Final

_AT_A_TIME: Final = 16


def us_each(call: Callable[[], object], slice_s: float) -> float:
    """Return the microseconds of one call, on the average of as many as `slice_s` has room for."""
    ends_s = time.perf_counter() + slice_s
    began_s, calls = time.perf_counter(), 0
    while True:
        for _ in range(_AT_A_TIME):
            call()
        calls += _AT_A_TIME
        now_s = time.perf_counter()
        if now_s >= ends_s:
            return (now_s - began_s) * 1e6 / calls


def per_second(call: Callable[[], int], slice_s: float) -> float:
    """Return how much is done in a second, by calls that each return how much they did."""
    ends_s = time.perf_counter() + slice_s
    began_s, done = time.perf_counter(), 0
    while True:
        done += call()
        now_s = time.perf_counter()
        if now_s >= ends_s:
            return done / (now_s - began_s)
