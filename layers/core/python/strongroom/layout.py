"""Where things lie below the shared directory (design.md section 3). Paths only, no files.

files/<database>/<2 hex>/<file-id>.json.enc     header and ciphertext
files/<database>/<2 hex>/<file-id>.meta.json    sidecar
templates/<schema-id>.json                      templates
databases/<database>.json                       configuration of databases
control/keyring.json                            the keyring
control/{clients,workers,mains,worker-credentials,revocations,token-revocations,issuers,jobs,
         backups,exports}/<id>.sealed           records of the Main Worker
control/audit/<chain>-<number>-<time>.audit     segments of the audit log
locks/                                          lock files
restoring.json                                  there while a restore into it has not ended
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

BLOB_SUFFIX: Final = ".json.enc"
SIDECAR_SUFFIX: Final = ".meta.json"
TEMPORARY_PREFIX: Final = ".tmp-"
RECORD_SUFFIX: Final = ".sealed"
RECORD_KINDS: Final = (
    "clients",
    "workers",
    "mains",
    "worker-credentials",
    "revocations",
    "token-revocations",
    "issuers",
    "jobs",
    "backups",
    "exports",
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths below one shared directory."""

    root: Path
    _files: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the text once that every entity's path begins with."""
        object.__setattr__(self, "_files", f"{self.root}/files")

    def restoring(self) -> Path:
        """Return the mark of a restore that has not ended."""
        return self.root / "restoring.json"

    def files(self) -> str:
        """Return the directory of all databases' files."""
        return self._files

    def shard(self, database: str, file_id: bytes) -> str:
        """Return the directory of an entity's two files."""
        return f"{self._files}/{database}/{file_id[:1].hex()}"

    def entity(self, database: str, file_id: bytes) -> str:
        """Return the path of an entity's two files, up to their suffixes."""
        name = file_id.hex()
        return f"{self._files}/{database}/{name[:2]}/{name}"

    def templates(self) -> Path:
        """Return the directory of the templates."""
        return self.root / "templates"

    def relative(self, path: str | Path) -> str:
        """Return a path as people are shown it: below the shared directory."""
        return str(Path(path).relative_to(self.root))

    def template(self, schema_id: str) -> Path:
        """Return the file of a template."""
        return self.templates() / f"{schema_id}.json"

    def databases(self) -> Path:
        """Return the directory of the databases' configuration."""
        return self.root / "databases"

    def database(self, database: str) -> Path:
        """Return the file of a database's configuration."""
        return self.databases() / f"{database}.json"

    def data(self) -> list[Path]:
        """Return the directories whose content is of no use without the keyring."""
        return [self.root / "files", *self.configuration(), self.audit()]

    def configuration(self) -> list[Path]:
        """Return the directories of templates, databases and control records."""
        return [self.templates(), self.databases(), *map(self.records, RECORD_KINDS)]

    def keyring(self) -> Path:
        """Return the file of the keyring."""
        return self.root / "control" / "keyring.json"

    def records(self, kind: str) -> Path:
        """Return the directory of one kind of control records."""
        return self.root / "control" / kind

    def record(self, kind: str, name: str) -> Path:
        """Return the file of one control record."""
        return self.records(kind) / f"{name}{RECORD_SUFFIX}"

    def audit(self) -> Path:
        """Return the directory of the audit log."""
        return self.root / "control" / "audit"

    def locks(self) -> Path:
        """Return the directory of the entities' lock files."""
        return self.root / "locks"

    def configuration_lock(self) -> Path:
        """Return the lock file of whoever changes templates, databases, clients or the keyring."""
        return self.root / "locks" / "configuration.lock"

    def jobs_lock(self) -> Path:
        """Return the lock file of the Main Worker that runs the jobs."""
        return self.root / "locks" / "jobs.lock"


def blob_name(file_id: bytes) -> str:
    """Return the file name of an entity's blob."""
    return file_id.hex() + BLOB_SUFFIX


def sidecar_name(file_id: bytes) -> str:
    """Return the file name of an entity's sidecar."""
    return file_id.hex() + SIDECAR_SUFFIX
