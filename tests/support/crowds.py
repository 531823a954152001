"""Readers and writers of one database, at work while it is deleted and made anew."""

import threading
from collections.abc import Callable

import httpx

from tests.support.deployment import Deployment, wait_until


class Crowd:
    """Two writers and two readers of one database, who never rest."""

    def __init__(self, deployment: Deployment, database: str) -> None:
        """Start them."""
        self._deployment, self._path = deployment, f"/entity/{database}"
        self._stopping = threading.Event()
        self.generation = 1
        self.shows: frozenset[int] = frozenset({1})
        """Which generations a read that begins now may show; none for "there is no database"."""
        self.turns = [0, 0, 0, 0]
        self.unexpected: list[str] = []
        tasks: list[Callable[[httpx.Client, int], None]] = [self._write, self._write]
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

    def _go_on(self, number: int, task: Callable[[httpx.Client, int], None]) -> None:
        with self._deployment.http() as http:
            while not self._stopping.is_set():
                task(http, self.turns[number])
                self.turns[number] += 1

    def _write(self, http: httpx.Client, turn: int) -> None:
        documents = {f"k{turn % 20}": {"generation": self.generation}}
        answer = http.put(self._path, json=documents)
        self._judge(answer, {200, 201, 404, 503})

    def _get(self, http: httpx.Client, turn: int) -> None:
        allowed = self.shows
        answer = http.get(self._path, params={"key": f"k{turn % 20}"})
        self._judge(answer, {200, 404, 503})
        self._compare(answer, allowed)

    def _list(self, http: httpx.Client, turn: int) -> None:
        del turn
        allowed = self.shows
        answer = http.get(self._path, params={"limit": 100})
        self._judge(answer, {200, 404, 503})
        self._compare(answer, allowed)

    def _judge(self, answer: httpx.Response, statuses: set[int]) -> None:
        if answer.status_code not in statuses:
            self.unexpected.append(answer.text)

    def _compare(self, answer: httpx.Response, allowed: frozenset[int]) -> None:
        if answer.status_code == httpx.codes.OK:
            # What could be shown when the read began may have become more meanwhile.
            possible = allowed | self.shows
            shown = {document["generation"] for document in answer.json().values()}
            if not possible or not shown <= possible:
                self.unexpected.append(f"{answer.text}, not {set(possible)}")
