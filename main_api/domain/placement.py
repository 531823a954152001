"""Which worker is asked first: rendezvous hashing (Thaler and Ravishankar, 1998), load bounded.

Every worker gets a score from a hash over (worker, database, key); the highest one is asked. A
worker that joins or leaves moves only the keys that it gets or had, about 1/n of them. Any worker
can serve any entity: a wrong choice costs cache warmth, nothing else.

One hot key must not drown its worker. So one that has more than its share of the calls under way,
by `limits.LOAD_FACTOR_MAX`, is passed over for the next in rank (consistent hashing with bounded
loads; Mirrokni, Thorup, Zadimoghaddam, 2018). Up to `limits.WORKER_CALLS_FREE` calls it is not
asked how the others are doing: none of its calls then waits for a thread.
"""

import hashlib
from collections.abc import Callable, Sequence

from main_api.domain.registry import WorkerRecord
from strongroom import limits


def rank(workers: Sequence[WorkerRecord], database: str, entity_key: str) -> list[WorkerRecord]:
    """Return the workers, the one to ask first at the front."""
    if len(workers) == 1:
        return list(workers)
    seed = hashlib.blake2b(f"{database}\x00{entity_key}".encode(), digest_size=16)

    def score(worker: WorkerRecord) -> bytes:
        digest = seed.copy()
        digest.update(worker.worker_id.encode())
        return digest.digest()

    return sorted(workers, key=score, reverse=True)


def bounded(
    ranked: list[WorkerRecord], load: Callable[[WorkerRecord], float]
) -> list[WorkerRecord]:
    """Return ranked workers with the first one that has room at the front.

    Args:
        ranked: As `rank` returns them.
        load: How many calls a worker has under way.
    """
    if len(ranked) < 2 or load(ranked[0]) < limits.WORKER_CALLS_FREE:  # noqa: PLR2004 - no choice
        return ranked
    loads = [load(worker) for worker in ranked]
    share = limits.LOAD_FACTOR_MAX * (sum(loads) + 1) / len(loads)
    room = max(share, limits.WORKER_CALLS_FREE)
    # The least loaded one is below the mean: there is always one.
    chosen = next(n for n, each in enumerate(loads) if each < room)
    return [ranked[chosen], *ranked[:chosen], *ranked[chosen + 1 :]]
