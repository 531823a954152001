"""Which entity is asked for next: by YCSB's zipfian law, some far more often than others."""

import random  # noqa: TID251 - a load is repeated by its seed
from itertools import accumulate
from typing import Final

_THETA: Final = 0.99
"""YCSB's constant: of 100,000 entities the most popular one gets 8 % of the requests."""


class Zipfian:
    """Ranks below a count, the same ones for the same seed; rank 0 is the most popular one."""

    def __init__(self, count: int, seed: int = 1) -> None:
        """Weigh each rank."""
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._ranks = range(count)
        self._weights = list(accumulate(1 / (rank + 1) ** _THETA for rank in self._ranks))
        self._places = list(self._ranks)
        self._random.shuffle(self._places)

    def rank(self) -> int:
        """Return a rank."""
        (found,) = self._random.choices(self._ranks, cum_weights=self._weights)
        return found

    def place(self) -> int:
        """Return a number below the count: popular ones lie anywhere among them."""
        return self._places[self.rank()]

    def is_one_of(self, share: float) -> bool:
        """Tell, of a share of all calls, that it is one of these."""
        return self._random.random() < share
