"""How keys and calls fall on workers: the project's own placement, asked key by key.

Nothing here is drawn by chance but what `Draws` draws, and that is repeated by its seed.
"""

import math
import random  # noqa: TID251 - a simulation is repeated by its seed
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from main_api.domain import placement
from main_api.domain.registry import WorkerRecord

DATABASE: Final = "chatdb"
KEYS_PER_WORKER: Final = 10_000
"""How many entities a worker has to serve where balance is told."""


def workers(count: int) -> list[WorkerRecord]:
    """Return records of workers with ids as a deployment gives them."""
    return [
        WorkerRecord(
            worker_id=f"worker-{number:05d}",
            address="",
            subscription_id="",
            registered_at="",
            lease_until_ms=0,
        )
        for number in range(count)
    ]


class Draws:
    """Numbers by chance, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        """Begin."""
        self._random = random.Random(seed)  # noqa: S311 - no secret

    def keys(self, count: int) -> list[str]:
        """Return keys that nobody chose."""
        return [f"{self._random.getrandbits(64):016x}" for _ in range(count)]

    def binomial(self, trials: int, probability: float) -> int:
        """Return how often something comes true; by the normal distribution, for many trials."""
        mean = trials * probability
        spread = math.sqrt(mean * (1 - probability))
        return max(0, round(self._random.gauss(mean, spread)))

    def choices(self, weights: Sequence[float], count: int) -> list[int]:
        """Return indices, each as likely as its weight."""
        return self._random.choices(range(len(weights)), weights, k=count)


@dataclass(frozen=True, slots=True)
class Balance:
    """How evenly placement spreads keys.

    Attributes:
        deviation: Chi-square of their counts over its degrees of freedom: 1 where every worker is
            as likely as the next one.
        fullest: What the fullest worker has, where each has `KEYS_PER_WORKER` on the average; in
            shares of the average.
    """

    deviation: float
    fullest: float


def first_in_rank(fleet: Sequence[WorkerRecord], keys: Sequence[str]) -> list[str]:
    """Return for each key which worker is asked first."""
    return [placement.rank(fleet, DATABASE, key)[0].worker_id for key in keys]


def balance(count: int, first: Sequence[str], draws: Draws) -> Balance:
    """Tell from where some keys were placed how full the fullest worker becomes."""
    counts = Counter(first)
    expected = len(first) / count
    chi_square = sum((counts[one.worker_id] - expected) ** 2 / expected for one in workers(count))
    # Every worker being as likely, the many follow from the few.
    fullest = max(draws.binomial(KEYS_PER_WORKER * count, 1 / count) for _ in range(count))
    return Balance(chi_square / (count - 1), fullest / KEYS_PER_WORKER)


@dataclass(frozen=True, slots=True)
class Heat:
    """What hot keys do to their workers.

    Attributes:
        alone: Calls under way at the fullest worker, in shares of the average, where the first in
            rank is asked whatever it has to do.
        bounded: The same as the project places calls.
        passed_over: Which share of all calls did not go to the first in rank.
        serving: How many workers have calls for the hottest key.
    """

    alone: float
    bounded: float
    passed_over: float
    serving: int


def one_hot_key(count: int, per_worker: int, share: float, draws: Draws) -> Heat:
    """Let one key have a share of all calls under way, and the others be spread as chance has it.

    Args:
        count: How many workers.
        per_worker: How many calls each has under way on the average.
        share: Of the hot key.
        draws: Where the others are.
    """
    fleet = workers(count)
    ranked = placement.rank(fleet, DATABASE, "hot")
    hot_calls = round(count * per_worker * share)
    others = count * per_worker - hot_calls
    loads = {one.worker_id: draws.binomial(others, 1 / count) for one in fleet}
    alone = max(*loads.values(), loads[ranked[0].worker_id] + hot_calls)
    chosen = Counter[str]()
    for _ in range(hot_calls):
        worker_id = placement.bounded(ranked, lambda worker: loads[worker.worker_id])[0].worker_id
        loads[worker_id] += 1
        chosen[worker_id] += 1
    return Heat(
        alone=alone / per_worker,
        bounded=max(loads.values()) / per_worker,
        passed_over=(hot_calls - chosen[ranked[0].worker_id]) / (count * per_worker),
        serving=len(chosen),
    )


def zipfian(count: int, per_worker: int, keys: int, draws: Draws) -> Heat:
    """Keep calls under way, the n-th key asked for 1/n as often as the first: one ends, one begins.

    Args:
        count: How many workers.
        per_worker: How many calls each has under way on the average.
        keys: How many keys.
        draws: Which key the next call is for.
    """
    fleet, under_way = workers(count), count * per_worker
    ranks = [placement.rank(fleet, DATABASE, key) for key in draws.keys(keys)]
    sequence = draws.choices(zipf(keys), 2 * under_way)
    alone = Counter(ranks[key][0].worker_id for key in sequence[under_way:])
    loads: Counter[str] = Counter()
    fullest, passed_over, serving = 0, 0, set[str]()
    ending: deque[str] = deque()
    for number, key in enumerate(sequence):
        if len(ending) == under_way:
            loads[ending.popleft()] -= 1
        chosen = placement.bounded(ranks[key], lambda worker: loads[worker.worker_id])[0].worker_id
        loads[chosen] += 1
        ending.append(chosen)
        if number >= under_way:
            fullest = max(fullest, loads[chosen])
            passed_over += chosen != ranks[key][0].worker_id
            if key == 0:
                serving.add(chosen)
    return Heat(
        alone=max(alone.values()) / per_worker,
        bounded=fullest / per_worker,
        passed_over=passed_over / under_way,
        serving=len(serving),
    )


def zipf(keys: int) -> list[float]:
    """Return how likely each key is where the n-th is asked for 1/n as often as the first."""
    return [1 / rank for rank in range(1, keys + 1)]


@dataclass(frozen=True, slots=True)
class Moved:
    """What the death of workers moves.

    Attributes:
        share: Of the keys that were asked about, those with another worker now.
        needlessly: Those of them whose worker is still there: none, with rendezvous hashing.
    """

    share: float
    needlessly: float


def moved(count: int, dead_share: float, keys: Sequence[str], first: Sequence[str]) -> Moved:
    """Let workers die, and place the keys again that were placed before."""
    fleet = workers(count)
    dead = max(1, round(count * dead_share))
    gone = {worker.worker_id for worker in fleet[:dead]}
    again = first_in_rank(fleet[dead:], keys)
    changed = [before for before, after in zip(first, again, strict=True) if before != after]
    needlessly = sum(before not in gone for before in changed)
    return Moved(len(changed) / len(keys), needlessly / len(keys))
