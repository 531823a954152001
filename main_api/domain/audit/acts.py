"""What is done, and what has to be recorded of it: it follows from the rights that it takes.

Both faces declare for each of their operations which rights it takes and whether it only reads. So
a new operation is recorded without anybody's doing: one that takes a right which is not known here,
or none, is taken for an administrator's.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cache
from typing import Final


class Kind(Enum):
    """What has to be recorded of an act. Every denial is, whatever it was."""

    CHANGE = "change"
    """Its intent before it takes effect, and its outcome before the answer: both durably."""
    DISCLOSURE = "disclosure"
    """Its outcome, durably, before the answer."""
    EVENT = "event"
    """That it was; of many by one and the same some are only counted."""
    WRITE = "write"
    """By setting."""
    READ = "read"
    """By setting."""
    NOTHING = "nothing"
    """No more than a denial."""


class Recording(StrEnum):
    """How reads, or writes, are recorded."""

    OFF = "off"
    BATCHED = "batched"
    """A moment later, many at once; they go on where the log cannot be written."""
    REQUIRED = "required"
    """Durably before a read is answered, or a write is made; refused where that cannot be."""


@dataclass(frozen=True, slots=True)
class Act:
    """What is done: its name, the same through both faces, and what is recorded of it."""

    name: str
    kind: Kind


_KINDS: Final = {
    # Somebody asks for these again and again, to see how far something has come.
    "get_job": Kind.EVENT,
    "list_jobs": Kind.EVENT,
    "get_metrics": Kind.EVENT,
    # A POST over REST, because it has another server asked; it changes nothing here.
    "ask_issuer": Kind.DISCLOSURE,
    # Over REST a POST, for the size of its cursor.
    "list_audit_records": Kind.DISCLOSURE,
    # A worker's lease: three times in six seconds.
    "renew": Kind.NOTHING,
    "watch": Kind.NOTHING,
    "share_commits": Kind.NOTHING,
    "leave": Kind.EVENT,
}
_NAMES: Final = {
    "put_schema": "put_template",
    "get_schema": "get_template",
    "list_schemas": "list_templates",
    "delete_schema": "delete_template",
    "rotate_secret": "rotate_client_secret",
    "get_workers": "list_workers",
    "list_revoked_workers": "list_workers",
    "put_worker": "put_worker_credential",
    "delete_worker": "revoke_worker",
    "subscribe_worker": "subscribe",
    "rewrap_entities": "rewrap_keys",
    "list_exports": "list_key_exports",
    "delete_export": "delete_key_export",
    "put_backup": "create_backup",
    "verify_files": "verify",
}
"""What REST has under another name than gRPC."""


@cache
def act(name: str, rights: frozenset[str], *, only_reads: bool) -> Act:
    """Return what an operation is to the audit log.

    Args:
        name: As the face has it, `put_client`.
        rights: What it takes, as both faces name them: "everywhere", "read", "client" ...
        only_reads: Whether it leaves everything as it is.
    """
    known = _NAMES.get(name, name)
    return Act(known, _KINDS.get(known) or _kind(rights, only_reads=only_reads))


def _kind(rights: AbstractSet[str], *, only_reads: bool) -> Kind:
    if rights == {"public"}:
        return Kind.NOTHING
    if rights == {"client"}:
        return Kind.EVENT
    if rights == {"worker"}:
        return Kind.DISCLOSURE
    if rights and rights <= {"read", "write", "delete"}:
        return Kind.READ if only_reads or rights == {"read"} else Kind.WRITE
    return Kind.DISCLOSURE if only_reads else Kind.CHANGE
