"""Two workers over one directory, each answer of theirs compared with the model's."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path

from processing_fn.domain.entity import Outcome
from processing_fn.service.ports import Place
from processing_fn.service.requests import Delete, PatchRequest, Put, Snapshot
from processing_fn.service.scanning import Item, Query
from strongroom import blob, keyring
from strongroom.entity import UNCONDITIONAL, Condition
from strongroom.errors import NotFoundError, StrongroomError
from strongroom.keyring import Purpose
from tests.support.clocks import ManualClock
from tests.support.descriptors import DescriptorWatch
from tests.support.engines import AT, MEBIBYTE, Rig, Worker
from tests.support.entity_model import EXPRESSIONS, Accepted, Entity, Model, RefusedError, Request
from tests.support.json_texts import exact
from tests.support.model_requests import FILTERS, KEYS

LEASE_S = 1_000_000
SETTLING_TRIES = 500


class ComparedWorkers:
    """Two workers and the model; every method asserts that they agree.

    Attributes:
        clock: The clock of all three.
        rig: What the workers share.
        model: What they should be.
        workers: The workers. The first one's cache has room for an entity or two.
    """

    def __init__(self, root: Path) -> None:
        """Start with an empty database."""
        self.clock = ManualClock()
        self._disk = DescriptorWatch()
        self.rig = Rig(root, clock=self.clock, filesystem=self._disk)
        self.model = Model(self.clock)
        self.workers = [self._started(number) for number in range(2)]
        self._pause = threading.Event()
        self._first_sidecars: dict[Path, bytes] = {}

    def close(self) -> None:
        """Leave nothing behind."""
        for worker in self.workers:
            worker.engine.forget()
        self._disk.close_lock_files()
        shutil.rmtree(self.rig.root)

    def restart(self, number: int) -> None:
        """Have a worker die, and another one of its name take its place."""
        self.workers[number].engine.forget()
        self.workers[number] = self._started(number)

    def advance(self, seconds: float) -> None:
        """Let time pass; leases are renewed."""
        self.clock.advance(seconds)
        for worker in self.workers:
            worker.lease.extend(self.clock.boot_s() + LEASE_S)

    def keep_house(self, number: int) -> None:
        """Have a worker put tombstones in the place of what has expired."""
        database = self.rig.binding.database
        for shard in self.rig.root.glob(f"files/{database}/*"):
            self.workers[number].engine.upkeep.tidy(database, int(shard.name, 16))
        self.model.purge()

    def rotate(self) -> None:
        """Put a new data key in force; both workers begin anew with it."""
        self.rig.keys = keyring.with_active(self.rig.keys, keyring.new_key(Purpose.DATA, AT))
        for number in range(2):
            self.restart(number)

    def rewrap(self, number: int) -> None:
        """Have a worker put every file under the key in force."""
        binding, worker = self.rig.binding, self.workers[number]
        for key in KEYS:
            file_id = worker.file_id(binding.database, binding.incarnation, key)
            worker.engine.rewrapper.rewrap(Place(binding.database, binding.incarnation, file_id))
        key_id = self.rig.keys.active(Purpose.DATA).key_id
        for path in self.rig.root.glob("files/*/*/*.json.enc"):
            assert blob.parse(path.read_bytes()).header.key_id == key_id

    def condition(self, key: str, kind: str) -> Condition:
        """Return a condition of a kind for an entity as it is now."""
        entity = self.model.seen(key)
        version = entity.version if entity else None
        return {
            "none": UNCONDITIONAL,
            "absent": Condition(if_absent=True),
            "present": Condition(if_present=True),
            "right": Condition(if_version=version),
            "wrong": Condition(if_version=(version or 0) + 1),
        }[kind]

    def write(self, number: int, request: Request) -> None:
        """Send a request to a worker."""
        try:
            answer: Outcome | StrongroomError = self._sent(number, request)
        except StrongroomError as error:
            answer = error
        self._check_write(request, answer)

    def put_many(self, number: int, puts: list[Put]) -> None:
        """Send several puts in one request, and ask before what would refuse them."""
        engine, binding = self.workers[number].engine, self.rig.binding
        refusals = [self.model.would_refuse(put) for put in puts]
        verdicts = engine.validate(binding, puts)
        assert [type(verdict) if verdict else None for verdict in verdicts] == refusals
        answers: list[Outcome | StrongroomError] | StrongroomError
        try:
            answers = engine.put_many(binding, puts)
        except StrongroomError as error:
            answers = error
        expected: list[Accepted | RefusedError] | RefusedError
        try:
            expected = self.model.apply_many(puts)
        except RefusedError as refused:
            expected = refused
        if isinstance(expected, RefusedError):
            # That nothing of it was written is seen by the reads that follow.
            assert type(answers) is expected.kind
            assert answers.entity_key == expected.entity_key
        else:
            assert isinstance(answers, list), answers
            for one, answer in zip(expected, answers, strict=True):
                _check_answer(one, answer)

    def get_many(self, number: int, keys: list[str]) -> None:
        """Read several entities in one request."""
        answers = self.workers[number].engine.get_many(self.rig.binding, keys)
        for key, answer in zip(keys, answers, strict=True):
            self._check_read(key, answer)

    def transform(self, number: int, key: str, expression: str) -> None:
        """Show what an expression makes of an entity."""
        entity = self.model.seen(key)
        try:
            shown = self.workers[number].engine.transform(self.rig.binding, key, expression)
        except NotFoundError:
            assert entity is None
            return
        assert entity is not None
        assert shown.metadata.version == entity.version
        assert exact(shown.document) == EXPRESSIONS[expression](entity.value)

    def walk(self, number: int, query: Query) -> None:
        """Read all pages of a query, the workers in turn."""
        found: dict[str, Item] = {}
        examined = 0
        for turn in range(number, number + 3 * len(KEYS)):
            page = self.workers[turn % 2].engine.page(self.rig.binding, query)
            assert page.damaged == 0
            assert len(page.items) <= query.limit
            assert not found.keys() & {item.entity_key for item in page.items}
            found |= {item.entity_key: item for item in page.items}
            examined += page.examined
            query = replace(query, cursor=page.cursor)
            if not page.cursor:
                break
        assert not page.cursor, "the cursor does not advance"
        visible = self.model.visible()
        assert examined == len(visible)
        assert found.keys() == {
            key
            for key, entity in visible.items()
            if key.startswith(query.prefix) and FILTERS[query.filter](entity.value)
        }
        for key, item in found.items():
            assert item.metadata.version == visible[key].version
            assert exact(item.document) == EXPRESSIONS[query.select or "@"](visible[key].value)

    def damage_sidecar(self, key: str, how: str) -> None:
        """Do to a sidecar what a crash or a bad disk does."""
        path = self.workers[0].files(key)[1]
        if path.exists():
            content = {
                "missing": b"",
                "empty": b"",
                "garbage": b"\xff" * 300,
                "longer": path.read_bytes() + b" ",
                "behind": self._first_sidecars[path],
            }
            path.write_bytes(content[how])
            if how == "missing":
                path.unlink()

    def check_everything(self) -> None:
        """Read every entity through both, and look at what lies on the disk."""
        for key in KEYS:
            for number in range(2):
                self.get_many(number, [key])
        # A page is answered while others of its threads still read, and maybe repair.
        tries, untidy = 0, self._untidy()
        while untidy and tries < SETTLING_TRIES:
            self._pause.wait(0.01)
            tries, untidy = tries + 1, self._untidy()
        assert not untidy
        for path in self.rig.root.glob("files/*/*/*.meta.json"):
            self._first_sidecars.setdefault(path, path.read_bytes())
        assert self.rig.broken == []

    def _untidy(self) -> str:
        """Tell what is not as operations leave it; what was damaged has been repaired by reads."""
        files = set()
        for path in self.rig.root.glob("files/*/*/*.json.enc"):
            sidecar = path.with_name(path.name.replace(".json.enc", ".meta.json"))
            files |= {path, sidecar}
            if sidecar.read_bytes() != blob.sidecar(blob.parse(path.read_bytes())):
                return "a sidecar is not its blob's"
        if set(self.rig.root.glob("files/*/*/*")) != files:
            return "a file was left behind"
        return "a descriptor was not closed" if self._disk.in_use else ""

    def _started(self, number: int) -> Worker:
        size_bytes = [3_000, MEBIBYTE][number]
        worker_id = f"worker-{number}"
        return self.rig.worker(worker_id, cache_bytes=size_bytes)

    def _sent(self, number: int, request: Request) -> Outcome:
        engine, binding = self.workers[number].engine, self.rig.binding
        if isinstance(request, Put):
            return engine.put(binding, request)
        if isinstance(request, Delete):
            return engine.delete(binding, request)
        if isinstance(request, PatchRequest):
            return engine.patch(binding, request)
        return engine.store_transformed(binding, request)

    def _check_write(self, request: Request, answer: Outcome | StrongroomError) -> None:
        try:
            expected: Accepted | RefusedError = self.model.apply(request)
        except RefusedError as refused:
            expected = refused
        _check_answer(expected, answer)

    def _check_read(self, key: str, found: Snapshot | StrongroomError) -> None:
        entity = self.model.seen(key)
        if entity is None:
            assert isinstance(found, NotFoundError), found
        else:
            assert isinstance(found, Snapshot), found
            _check_snapshot(entity, found)
            if entity.text is None:
                self.model.learn(key, found.document)
            assert found.document == entity.text


def _check_answer(expected: Accepted | RefusedError, answer: Outcome | StrongroomError) -> None:
    if isinstance(expected, RefusedError):
        assert type(answer) is expected.kind
        assert expected.current_version in {None, answer.current_version}
    else:
        assert isinstance(answer, Outcome), answer
        _check_outcome(expected, answer)


def _check_outcome(expected: Accepted, answer: Outcome) -> None:
    found = answer.metadata
    assert (found.version, answer.created) == (expected.version, expected.created)
    assert (found.updated_at, found.expires_at) == (expected.updated_at, expected.expires_at)
    assert expected.created_at in {None, found.created_at}
    assert expected.schema_version in {None, found.schema_version}


def _check_snapshot(entity: Entity, found: Snapshot) -> None:
    metadata = found.metadata
    assert (metadata.version, metadata.schema_version) == (entity.version, entity.schema_version)
    assert (metadata.created_at, metadata.updated_at) == (entity.created_at, entity.updated_at)
    assert metadata.expires_at == entity.expires_at
    if entity.text is None:
        assert entity.value == exact(found.document)
