"""A deployment that serves, in one process: a real engine over a real directory."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from processing_fn.service.bindings import Binding
from processing_fn.service.requests import Put
from strongroom.errors import IntegrityError, NotFoundError, SchemaViolationError
from tests.support.engines import Rig, Worker


@dataclass
class RunningEngine:
    """The `Running` of the backups' restore, over an engine.

    Attributes:
        rig: The directory.
        dies_after: How many puts are answered; the next one ends in an error.
    """

    rig: Rig
    dies_after: int = 1_000_000
    bindings: dict[str, Binding] = field(default_factory=dict)
    puts: int = 0

    def __post_init__(self) -> None:
        """Know the database that is there."""
        self.worker: Worker = self.rig.worker("worker-9")
        self.bindings["people"] = self.rig.binding

    def has_template(self, schema_id: str) -> bool:
        """Ask the disk."""
        return self.rig.layout.template(schema_id).exists()

    def make_template(self, schema_id: str, schema: bytes) -> None:
        """Write the one that there is in these tests."""
        assert schema_id == "person.v1"
        self.rig.put_template(schema)

    def has_database(self, name: str) -> bool:
        """Ask whether it is known."""
        return name in self.bindings

    def make_database(self, name: str, schema_id: str, ttl_seconds: int | None) -> None:
        """Write it."""
        assert schema_id == "person.v1"
        incarnation = f"{len(self.bindings) + 7:032x}"
        self.bindings[name] = self.rig.put_database(name, incarnation, ttl_seconds)

    def current(self, database: str, keys: list[str]) -> Mapping[str, bytes]:
        """Read them."""
        found = {}
        for key in keys:
            try:
                found[key] = self.worker.engine.get(self.bindings[database], key).document
            except (NotFoundError, IntegrityError):
                continue
        return found

    def put(
        self, database: str, documents: Mapping[str, bytes], ttl_seconds: int | None
    ) -> Mapping[str, str]:
        """Put each by itself."""
        refused = {}
        for key, raw in documents.items():
            self.puts += 1
            if self.puts > self.dies_after:
                raise ConnectionError("the connection is gone")
            put = Put(key, raw, ttl_seconds=ttl_seconds)
            try:
                self.worker.engine.put(self.bindings[database], put)
            except SchemaViolationError as error:
                refused[key] = error.detail
        return refused
