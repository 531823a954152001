"""Which template a database is bound to: what the disk says, not what a request claims."""

import msgspec

from processing_fn.service.ports import Configurations, Overlap
from processing_fn.service.validation import CompiledTemplate, compile_template
from strongroom import ids, limits
from strongroom.configuration import Database
from strongroom.errors import NotFoundError, StaleBindingError, UnavailableError


class Binding(msgspec.Struct, frozen=True):
    """A database as the Main Worker takes it to be."""

    database: str
    incarnation: str
    schema_id: str


class Bindings:
    """Databases and compiled templates. Safe under threads."""

    def __init__(self, configurations: Configurations, overlap: Overlap) -> None:
        """Start knowing nothing."""
        self._overlap = overlap
        self._configurations = configurations
        self._known: dict[str, Database] = {}
        self._compiled: dict[str, CompiledTemplate] = {}

    def require(self, binding: Binding) -> Database:
        """Check a binding against what the disk said last, and ask it anew where they differ.

        Raises:
            As `read`.
        """
        known = self._known.get(binding.database)
        if known is None or not _agree(known, binding):
            return self.read(binding)
        return known

    def read(self, binding: Binding) -> Database:
        """Return the database as the disk has it now.

        Raises:
            NotFoundError: There is none.
            StaleBindingError: It is bound otherwise than the request says.
            IntegrityError: Its file was changed.
            UnavailableError: The disk refuses.
        """
        database = self._configurations.database(ids.database_name(binding.database))
        if database is None:
            raise NotFoundError(f"no such database: {binding.database}")
        if len(self._known) >= limits.DATABASES_REMEMBERED:
            self._known.clear()
        self._known[binding.database] = database
        if not _agree(database, binding):
            raise StaleBindingError("the database is bound otherwise on the disk")
        return database

    def record(self, name: str) -> Database | None:
        """Return a database as the disk has it now, a deleted one too; raises as `read`."""
        return self._configurations.database_record(ids.database_name(name))

    def read_with_template(self, binding: Binding) -> tuple[Database, CompiledTemplate]:
        """Return a database and its template, as the disk has both now; raises as both."""
        return self._overlap.both(
            lambda: self.read(binding), lambda: self.template(binding.schema_id)
        )

    def template(self, schema_id: str) -> CompiledTemplate:
        """Return a template as the disk has it now, compiled once per version.

        Raises:
            IntegrityError: Its file was changed, or does not compile.
            UnavailableError: It is missing, or the disk refuses.
        """
        template = self._configurations.template(schema_id)
        if template is None:
            raise UnavailableError(f"the template {schema_id} is missing")
        compiled = self._compiled.get(schema_id)
        if compiled is None or compiled.template is not template:
            compiled = compile_template(template)
            if len(self._compiled) >= limits.TEMPLATES_COMPILED:
                self._compiled.clear()
            self._compiled[schema_id] = compiled
        return compiled


def _agree(database: Database, binding: Binding) -> bool:
    return database.incarnation == binding.incarnation and database.schema_id == binding.schema_id
