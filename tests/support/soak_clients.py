"""Clients that do everything to keys of their own, and know what each answer has to be."""

import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from benchmarks.scale.fleet import Draws, zipf
from strongroom_client.errors import NotFoundError, StrongroomClientError
from tests.support.client_combinations import Asked
from tests.support.owned_keys import OwnedKeys

DATABASE: Final = "chatdb"
KEYS_PER_CLIENT: Final = 64
KEYS_PER_READ: Final = 8
SHARES: Final = {
    "get": 50,
    "put": 20,
    "multi-get": 10,
    "patch": 8,
    "delete": 4,
    "list": 4,
    "query": 4,
}
NOTHING_DONE: Final = frozenset({"unavailable", "busy", "rate-limited", "request-timeout"})
"""Codes of errors after which nothing was written."""

PASSING: Final = NOTHING_DONE | {"outcome-unknown"}
"""Codes of errors that the death of a worker may end in."""

LAST_READS_S = 30.0
"""How long the last reads of a client may fail."""

_TEXT: Final = "x" * 1_000
_PAUSE_S: Final = 0.01
_DRAWN: Final = 1_024


@dataclass
class Met:
    """What a client met.

    Attributes:
        took_s: How long each request took, by operation; those that failed too.
        errors: How many requests failed, by operation and code.
        wrong: Answers that cannot be.
    """

    took_s: dict[str, "array[float]"] = field(
        default_factory=lambda: {name: array("d") for name in SHARES}
    )
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """How many there were."""
        return sum(map(len, self.took_s.values()))

    def add(self, other: "Met") -> None:
        """Add what another client met."""
        for name, took_s in other.took_s.items():
            self.took_s[name].extend(took_s)
        self.errors.update(other.errors)
        self.wrong += other.wrong


class SoakClient:
    """Writes counted numbers to its keys, some far more often than others, and reads them back."""

    def __init__(self, client: Asked, name: str, seed: int) -> None:
        """Take who asks, what makes its keys its own, and the seed of what it does."""
        self._client = client
        self._prefix = f"soak/{name}/"
        self._owned = OwnedKeys(f"{self._prefix}{n}" for n in range(KEYS_PER_CLIENT))
        self._draws = Draws(seed)
        self._number = 0
        self.met = Met()
        self._acts: dict[str, Callable[[str], None]] = {
            "get": self._get,
            "put": self._put,
            "multi-get": self._get_many,
            "patch": self._patch,
            "delete": self._delete,
            "list": self._list,
            "query": self._query,
        }

    def work(self, stopping: threading.Event) -> None:
        """Write every key once, then go on until told to stop."""
        for key in self._owned.keys:
            self._do("put", key)
        names, weights = list(SHARES), list(SHARES.values())
        while not stopping.is_set():
            ranks = self._draws.choices(zipf(KEYS_PER_CLIENT), _DRAWN)
            for act, rank in zip(self._draws.choices(weights, _DRAWN), ranks, strict=True):
                if stopping.wait(_PAUSE_S):
                    break
                self._do(names[act], self._owned.keys[rank])

    def finish(self) -> None:
        """Read every key once more, and hang up: with nothing broken any more each must be read."""
        ends_s = time.monotonic() + LAST_READS_S
        for key in self._owned.keys:
            while not self._do("get", key):
                if time.monotonic() > ends_s:
                    self.met.wrong.append(f"{key}: it cannot be read at the end")
                    break
                time.sleep(_PAUSE_S)
        self._client.close()

    def _do(self, name: str, key: str) -> bool:
        """Do something; tell whether it was answered."""
        began_s = time.monotonic()
        is_answered = True
        try:
            self._acts[name](key)
        except StrongroomClientError as error:
            is_answered = False
            self.met.errors[name, error.code] += 1
            if error.code not in PASSING:
                self.met.wrong.append(f"{name} {key}: {error.code}: {error.detail}")
        self.met.took_s[name].append(time.monotonic() - began_s)
        return is_answered

    def _get(self, key: str) -> None:
        try:
            number = self._client.get(DATABASE, key).value["n"]
        except NotFoundError:
            number = None
        self._seen(key, number)

    def _get_many(self, key: str) -> None:
        keys = self._owned.keys
        first = keys.index(key)
        asked = (keys + keys)[first : first + KEYS_PER_READ]
        found = self._client.get_many(DATABASE, asked)
        for one in asked:
            self._seen(one, found[one].value["n"] if one in found else None)

    def _put(self, key: str) -> None:
        number = self._next()
        value = {"chat": [], "n": number, "text": _TEXT}
        self._write(key, number, lambda: self._client.put(DATABASE, key, value))

    def _patch(self, key: str) -> None:
        number = self._next()
        self._write(key, number, lambda: self._client.patch(DATABASE, key, {"n": number}))

    def _delete(self, key: str) -> None:
        self._write(key, None, lambda: self._client.delete(DATABASE, key))

    def _write(self, key: str, number: int | None, write: Callable[[], object]) -> None:
        try:
            write()
        except NotFoundError:
            self._seen(key, None)
        except StrongroomClientError as error:
            if error.code not in NOTHING_DONE:
                self._owned.unknown(key, number)
            raise
        else:
            self._owned.acknowledged(key, number)

    def _list(self, _key: str) -> None:
        found = self._read("")
        for key in self._owned.keys:
            self._seen(key, found.get(key))

    def _query(self, _key: str) -> None:
        least = self._number // 2
        found = self._read(f"n >= `{least}`")
        for key in self._owned.keys:
            if key in found:
                self._seen(key, found[key])
                self._must(key, "it is found, and too small", held=found[key] >= least)
            else:
                may_be = any(n is None or n < least for n in self._owned.possible(key))
                self._must(key, f"a query for {least} or more leaves it out", held=may_be)

    def _read(self, wanted: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for page in self._client.pages(DATABASE, filter=wanted, prefix=self._prefix):
            self._must(self._prefix, f"{page.damaged} files are damaged", held=not page.damaged)
            found |= {one.key: one.value["n"] for one in page.entities}
        return found

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _seen(self, key: str, number: int | None) -> None:
        if wrong := self._owned.wrong(key, number):
            self.met.wrong.append(wrong)

    def _must(self, key: str, told: str, *, held: bool) -> None:
        if not held:
            self.met.wrong.append(f"{key}: {told}")
