"""Readers and writers of one database, at work while it is deleted and made anew."""

import threading
from collections.abc import Callable, Sequence
from typing import Final

from strongroom_client import (
    Client,
    Entity,
    NotFoundError,
    OutcomeUnknownError,
    StrongroomClientError,
    UnavailableError,
)
from tests.support.deployment import Deployment, wait_until

PASSING: Final = (NotFoundError, UnavailableError, OutcomeUnknownError)
"""What a client may be told while a database goes and comes back."""


class Crowd:
    """Two writers and two readers of one database, who never rest."""

    def __init__(self, deployment: Deployment, database: str) -> None:
        """Start them."""
        self._deployment, self._database = deployment, database
        self._stopping = threading.Event()
        self.generation = 1
        self.shows: frozenset[int] = frozenset({1})
        """Which generations a read that begins now may show; none for "there is no database"."""
        self.turns = [0, 0, 0, 0]
        self.unexpected: list[str] = []
        tasks: list[Callable[[Client, int], None]] = [self._write, self._write]
        tasks += [self._get, self._list]
        self._threads = [
            threading.Thread(target=self._go_on, args=(number, task))
            for number, task in enumerate(tasks)
        ]
        for thread in self._threads:
            thread.start()

    def let_all_turn(self) -> None:
        """Wait until everybody has done something that began after this."""
        before = list(self.turns)
        assert wait_until(
            lambda: all(now > then + 1 for now, then in zip(self.turns, before, strict=True)), 30
        )

    def stop(self) -> None:
        """Let them rest."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def _go_on(self, number: int, task: Callable[[Client, int], None]) -> None:
        with self._deployment.client() as client:
            while not self._stopping.is_set():
                try:
                    task(client, self.turns[number])
                except PASSING:
                    pass
                except StrongroomClientError as error:
                    self.unexpected.append(repr(error))
                self.turns[number] += 1

    def _write(self, client: Client, turn: int) -> None:
        client.put(self._database, f"k{turn % 20}", {"generation": self.generation})

    def _get(self, client: Client, turn: int) -> None:
        allowed = self.shows
        self._compare([client.get(self._database, f"k{turn % 20}")], allowed)

    def _list(self, client: Client, turn: int) -> None:
        del turn
        allowed = self.shows
        self._compare(client.page(self._database).entities, allowed)

    def _compare(self, found: Sequence[Entity], allowed: frozenset[int]) -> None:
        # What could be shown when the read began may have become more meanwhile.
        possible = allowed | self.shows
        shown = {entity.value["generation"] for entity in found}
        if not possible or not shown <= possible:
            self.unexpected.append(f"{found} of {shown}, not {set(possible)}")
