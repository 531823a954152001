"""The comparison judges what other stores answer, passes over who is not here, and ends them."""

import sys
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from google.protobuf import empty_pb2, unknown_fields

from benchmarks.documents import document
from benchmarks.figure import NotHereError, WrongAnswerError
from benchmarks.peers import children
from benchmarks.peers.__main__ import compared
from benchmarks.peers.etcd import Etcd
from benchmarks.peers.kinto import Kinto
from benchmarks.peers.ledger import KEYS, Ledger
from benchmarks.peers.postgresql import Server
from benchmarks.peers.stores import Asked, Place, Traits
from benchmarks.peers.strongroom import both
from strongroom.identity import Identity
from tests.support.deployment import is_alive, wait_until

TRAITS = Traits("none", "none", "none", "memory", "anybody")
TURN_S = 0.01
IDENTITY = Identity(Path("ca.pem"), Path("server.pem"), Path("server.key"))
ENDS = "import sys; sys.exit('the port is taken')"
STAYS = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


@dataclass
class Memory:
    """The `Lanes` to documents in memory: a write is `key=document`, a read is a key."""

    documents: dict[bytes, bytes]
    is_forgetful: bool
    answers: list[tuple[int, bytes]] = field(default_factory=list)

    def send(self, lane: int, wire: bytes) -> None:
        """Do it at once; who is forgetful acknowledges a second write and has nothing then."""
        key, is_write, written = wire.partition(b"=")
        if is_write:
            self.documents[key] = b"" if self.is_forgetful and key in self.documents else written
        self.answers.append((lane, b"" if is_write else self.documents[key]))

    def receive(self, timeout_s: float) -> Iterable[tuple[int, bytes]]:
        """Return what was answered."""
        del timeout_s
        found, self.answers = self.answers, []
        return found

    def close(self) -> None:
        """Do nothing: there is no connection."""


@dataclass
class InMemory(Asked):
    """A store of documents in memory."""

    name: str = "in memory"
    is_here: bool = True
    is_forgetful: bool = False
    traits: Traits = TRAITS
    documents: dict[bytes, bytes] = field(default_factory=dict)

    def start(self, place: Place, stack: ExitStack) -> None:
        """Fill it."""
        del place, stack
        if not self.is_here:
            raise NotHereError("install it")
        self.fill()

    def lanes(self, in_flight: int) -> Memory:
        """Connect."""
        del in_flight
        return Memory(self.documents, self.is_forgetful)

    def get_wire(self, key: str) -> bytes:
        """Return a read."""
        return key.encode()

    def put_wire(self, key: str, document: bytes) -> bytes:
        """Return a write."""
        return key.encode() + b"=" + document


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Where a store may be started."""
    return Place(tmp_path, 0, tmp_path)


def test_the_ledger_knows_what_may_lie_under_a_key() -> None:
    """A right answer is found wrong, or an old document right."""
    ledger = Ledger()
    puts = [ledger.put() for _ in range(3 * KEYS)]

    assert len(ledger.all()) == len({key for key, _ in puts}) == KEYS
    assert len({written for _, written in puts}) == len(puts)
    first, *_ = ledger.all()
    assert ledger.last(first) == [document(KEYS), document(2 * KEYS)]


def test_the_two_faces_of_one_database_write_to_keys_of_their_own() -> None:
    """What one face has written is a wrong answer to the other, and ends the comparison."""
    grpc_keys, rest_keys = ({face._ledger.put()[0] for _ in range(KEYS)} for face in both())  # noqa: SLF001 - nothing else tells before it is started
    assert len(grpc_keys) == len(rest_keys) == KEYS
    assert not grpc_keys & rest_keys


def test_the_ledger_tells_once_what_was_put_since() -> None:
    """Puts are not read back, or all of them after each turn."""
    ledger = Ledger()
    assert ledger.since() == set()
    keys = {ledger.put()[0] for _ in range(3)}
    assert ledger.since() == keys
    assert ledger.since() == set()


def test_who_is_here_is_asked_and_who_is_not_is_passed_over(place: Place) -> None:
    """One missing package costs the whole comparison."""
    stores = [InMemory("here"), InMemory("missing", is_here=False)]
    with ExitStack() as stack:
        here, missing = compared(stores, place, stack, rounds=2, seconds=TURN_S)

    assert (missing.skipped, missing.told) == ("install it", {})
    assert (here.skipped, list(here.told)) == ("", ["get, 1", "get, 32", "put, 1", "put, 16"])
    for told in here.told.values():
        assert told.per_second > 0
        assert 0 < told.p50_ms <= told.p99_ms


def test_a_put_that_is_acknowledged_and_lost_ends_the_comparison(place: Place) -> None:
    """A store that writes nothing is found to write very fast."""
    with ExitStack() as stack, pytest.raises(WrongAnswerError, match="chat0"):
        compared([InMemory(is_forgetful=True)], place, stack, rounds=1, seconds=TURN_S)


def test_a_read_of_another_document_ends_the_comparison(place: Place) -> None:
    """A store is compared that answers anything."""
    store = InMemory()
    with ExitStack() as stack:
        store.start(place, stack)
    store.documents[b"chat000003"] = document(4)

    with pytest.raises(WrongAnswerError, match="chat000003"):
        store.get(4, TURN_S)


def test_kinto_is_judged_by_what_its_json_says() -> None:
    """Kinto's documents, which it writes anew with members of its own, are found wrong."""
    store, own = Kinto(Server(IDENTITY)), {"id": "chat1", "last_modified": 1}
    told = {"data": {**own, **msgspec.json.decode(document(1))}}

    assert store.holds(msgspec.json.encode(told), document(1))
    assert not store.holds(msgspec.json.encode(told), document(2))
    assert not store.holds(msgspec.json.encode({"data": own}), document(1))


def test_etcd_is_asked_in_its_own_messages() -> None:
    """Etcd is measured at refusing what it cannot read."""
    method, _, put = Etcd(IDENTITY).put_wire("chat1", document(1)).partition(b"\n")

    assert method == b"/etcdserverpb.KV/Put"
    found = unknown_fields.UnknownFieldSet(empty_pb2.Empty.FromString(put))
    fields = [found[number] for number in range(len(found))]
    assert [(one.field_number, one.data) for one in fields] == [(1, b"chat1"), (2, document(1))]


def test_a_program_that_is_missing_is_told_with_its_package() -> None:
    """Nobody knows what to install."""
    with pytest.raises(NotHereError, match="no such-program: install Debian's such-package"):
        children.tool("such-program", "Debian's such-package")


def test_a_server_that_ends_at_once_is_passed_over_with_what_it_said(place: Place) -> None:
    """The comparison waits for a minute, and nobody learns why."""
    with ExitStack() as stack:
        log = place.directory / "log"
        wait = children.serve([sys.executable, "-c", ENDS], log, place, stack)
        with pytest.raises(NotHereError, match="the port is taken"):
            wait(lambda: False)


def test_a_server_ends_with_the_comparison(place: Place) -> None:
    """Servers stay behind, and take the processor from whatever is measured next."""
    log = place.directory / "log"
    with ExitStack() as stack:
        wait = children.serve([sys.executable, "-c", STAYS], log, place, stack)
        wait(lambda: log.read_text().endswith("\n"))
        pid = int(log.read_text())
        assert is_alive(pid)
    assert wait_until(lambda: not is_alive(pid), 5.0)
