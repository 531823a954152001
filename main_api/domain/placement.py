"""Which worker is asked first: rendezvous hashing (Thaler and Ravishankar, 1998).

Every worker gets a score from a hash over (worker, database, key); the highest one is asked. A
worker that joins or leaves moves only the keys that it gets or had, about 1/n of them. Any worker
can serve any entity: a wrong choice costs cache warmth, nothing else.
"""

import hashlib
from collections.abc import Sequence

from main_api.domain.registry import WorkerRecord


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
