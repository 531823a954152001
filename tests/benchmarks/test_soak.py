"""What a soak run finds: its percentiles, its verdict, and what it reads of processes."""

import json
import os
import threading
from array import array
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from strongroom.durable import LocalFilesystem
from strongroom_client.errors import NotFoundError, UnavailableError
from strongroom_client.values import Entity, Page
from tests.support import process_usage, soak, soak_clients
from tests.support.deployment import wait_until
from tests.support.owned_keys import OwnedKeys
from tests.support.process_usage import Usage
from tests.support.soak import Found, left_behind, percentile, verdict
from tests.support.soak_clients import SHARES, Met, SoakClient

MIB = 1024 * 1024
WELL = Found(Met(), 1.0, {"rest": Usage(80 * MIB, 10)}, {"rest": Usage(90 * MIB, 12)})


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.001, 1.0)]
)
def test_a_percentile_is_one_of_the_values(share: float, expected: float) -> None:
    """The latencies that a run prints are not those that clients met."""
    assert percentile([float(n) for n in range(100, 0, -1)], share) == expected
    assert percentile([], share) == 0.0


def test_a_run_in_which_all_went_well() -> None:
    """Every run fails, so that nobody looks at one that does."""
    assert verdict(WELL) == []
    assert "| rest | 80.0 | 90.0 | 10 | 12 |" in soak.report(WELL)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (replace(WELL, met=Met(wrong=["k: 1"])), "wrong answer: k: 1"),
        (
            replace(WELL, met=Met({"get": array("d", [0.1] * 9)}, Counter({("get", "busy"): 2}))),
            "2 of 9 requests have failed",
        ),
        (replace(WELL, leaked=[".tmp-1"]), "a temporary file is left behind: .tmp-1"),
        (replace(WELL, locks=Counter({"locks/07": 2})), "2 locks are still held on locks/07"),
        (replace(WELL, after={}), "rest is gone"),
        (replace(WELL, after={"rest": Usage(145 * MIB, 10)}), "rest has grown by over 64 MiB"),
        (
            replace(WELL, after={"rest": Usage(80 * MIB, 43)}),
            "rest has over 32 more descriptors open",
        ),
    ],
)
def test_a_run_in_which_something_grew_or_stayed(found: Found, told: str) -> None:
    """A leak of any kind passes."""
    assert verdict(found) == [told]


def test_a_temporary_file_is_explained_by_a_kill_right_after_it() -> None:
    """A file that a living worker has forgotten is put down to one that was killed."""
    written_s = {"during": 99.0, "long before": 90.0, "after": 101.0}
    assert left_behind(written_s, [100.0]) == (["during"], ["long before", "after"])


def test_a_write_of_unknown_outcome_leaves_a_choice_until_it_is_seen() -> None:
    """A wrong answer passes for a right one, or the other way round."""
    owned = OwnedKeys(["k"])
    assert owned.wrong("k", None) == ""
    owned.acknowledged("k", 1)
    owned.unknown("k", 2)
    owned.acknowledged("k", 3)
    assert owned.wrong("k", 1) == "k: 1, which is none of ['2', '3']"
    assert owned.wrong("k", 3) == ""
    assert owned.wrong("k", 2) == ""
    assert owned.wrong("k", 3) == "k: 3, which is none of ['2']"


class Dictionary:
    """Answers as a deployment does, one request at a time; `lose` forgets a share of the writes."""

    def __init__(self, *, lose: bool) -> None:
        """Begin empty."""
        self._lose = lose
        self._writes = 0
        self._entities: dict[str, dict[str, Any]] = {}

    def get(self, _: str, key: str) -> Entity:
        """Read."""
        if key not in self._entities:
            raise NotFoundError(key)
        return self._entity(key)

    def get_many(self, _: str, keys: list[str]) -> dict[str, Entity]:
        """Read several."""
        return {key: self._entity(key) for key in keys if key in self._entities}

    def put(self, _: str, key: str, value: dict[str, Any]) -> None:
        """Write, but for one of fifty that is lost."""
        self._writes += 1
        if not self._lose or self._writes % 50:
            self._entities[key] = value

    def patch(self, database: str, key: str, patch: dict[str, Any]) -> None:
        """Write a part."""
        self.put(database, key, self.get(database, key).value | patch)

    def delete(self, database: str, key: str) -> None:
        """Remove."""
        self.get(database, key)
        del self._entities[key]

    def pages(self, _: str, **asked: str) -> list[Page]:
        """Read all, or those with a number that is large enough."""
        least = int(asked["filter"].partition("`")[2].rstrip("`") or 0)
        large = [key for key, value in self._entities.items() if value["n"] >= least]
        return [Page([self._entity(key) for key in large])]

    def close(self) -> None:
        """Hang up."""

    def _entity(self, key: str) -> Entity:
        return Entity(key, 1, json.dumps(self._entities[key]).encode())


@pytest.mark.parametrize("lose", [False, True])
def test_a_client_finds_a_lost_write_and_nothing_where_there_is_none(*, lose: bool) -> None:
    """A run ends well after writes were lost, or fails for nothing."""
    client, stopping = SoakClient(Dictionary(lose=lose), "c", 1), threading.Event()
    working = threading.Thread(target=client.work, args=(stopping,))
    working.start()
    assert wait_until(lambda: client.met.requests >= 200, 30.0)
    stopping.set()
    working.join()
    client.finish()
    assert bool(client.met.wrong) == lose
    assert set(SHARES) == {name for name, took_s in client.met.took_s.items() if took_s}
    assert client.met.errors == {}


def test_a_key_that_cannot_be_read_at_the_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Acknowledged writes are lost behind a deployment that answers nothing any more."""
    monkeypatch.setattr(soak_clients, "LAST_READS_S", 0.05)

    class Silent(Dictionary):
        def get(self, _: str, key: str) -> Entity:
            raise UnavailableError(f"no worker for {key}")

    client = SoakClient(Silent(lose=False), "c", 1)
    client.finish()
    assert len(client.met.wrong) == soak_clients.KEYS_PER_CLIENT
    assert "cannot be read at the end" in client.met.wrong[0]


def test_who_waits_for_a_lock_does_not_hold_it() -> None:
    """Locks count as leaked that are none."""
    listed = (
        "1: OFDLCK ADVISORY  WRITE -1 fe:00:77 0 0\n"
        "1: -> OFDLCK ADVISORY  WRITE -1 fe:00:77 0 0\n"
        "2: FLOCK  ADVISORY  WRITE 12 fe:00:99 0 EOF\n"
    )
    assert process_usage.held_in(listed, {77: "locks/07"}) == {"locks/07": 1}


def test_locks_and_descriptors_of_a_process_are_seen(tmp_path: Path) -> None:
    """A run counts nothing, and so finds nothing."""
    filesystem, locks = LocalFilesystem(), tmp_path / "locks"
    locks.mkdir()
    before = process_usage.usage(os.getpid(), locks)
    assert before.resident_bytes > MIB
    held = filesystem.open_lock_file(str(locks / "07"))
    other = os.open(tmp_path / "other", os.O_CREAT | os.O_WRONLY, 0o600)
    assert filesystem.try_lock(held, 5)
    assert process_usage.locks_held(tmp_path) == {"locks/07": 1}
    after = process_usage.usage(os.getpid(), locks)
    assert (before.descriptors, after.descriptors) != (None, None)
    assert after.descriptors == (before.descriptors or 0) + 1
    filesystem.close(held)
    os.close(other)
    assert process_usage.locks_held(tmp_path) == {}
