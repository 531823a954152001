"""What the audit log is told of an act while it is done: one entry per request, per thread.

A face begins an entry and concludes it. In between the use cases, which know more, say what they
are about to do and to what. They do so by these functions and not by an argument, so that no method
of theirs, and no service that is added, has to hand something on; where nobody has begun an entry
they do nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from main_api.domain.audit.acts import Act, Kind
from main_api.domain.caller import Caller
from strongroom.configuration import Database


@dataclass(slots=True)
class Entry:
    """An act, as far as it is known; the texts are those of a `Record`.

    Attributes:
        act: What is done.
        face: How it came in.
        identify: Called when it is known who calls; raises where that must not be done.
        before_write: Called before a write takes effect; raises where it must not.
        network: What stands for the address where many are counted.
        incarnation: Which database of its name, once that was looked up.
        keys: Entity keys. They leave this process as file-ids only.
        tie: Ties intent and outcome together; empty where no intent was written.
        ended_ms: When it was concluded.
    """

    act: Act
    face: str
    identify: Callable[["Entry", Caller], None]
    before_write: Callable[["Entry"], None]
    request_id: str = ""
    address: str = ""
    network: str = ""
    client: str = ""
    subject: str = ""
    worker: str = ""
    claimed: str = ""
    database: str = ""
    incarnation: str = ""
    keys: Sequence[str] = ()
    target: dict[str, str] = field(default_factory=dict)
    detail: dict[str, str | int] = field(default_factory=dict)
    tie: str = ""
    ended_ms: int = 0

    @property
    def is_proven(self) -> bool:
        """Tell whether it is known who acts."""
        return bool(self.client or self.worker)


_current: ContextVar[Entry | None] = ContextVar("strongroom-audit-entry", default=None)


@contextmanager
def serving(entry: Entry | None) -> Iterator[None]:
    """Let what this thread does in here belong to an entry, or to none."""
    token = _current.set(entry)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def because(**facts: str | int) -> Iterator[None]:
    """Say why this process does by itself what is recorded in here."""
    why = Entry(Act("", Kind.NOTHING), "main", _nothing, _nothing, detail=dict(facts))
    with serving(why):
        yield


def _nothing(*_: object) -> None:
    """Do nothing."""


def enter(entry: Entry | None) -> None:
    """Let what this thread does from now on belong to an entry, or to none any more."""
    _current.set(entry)


def current() -> Entry | None:
    """Return the entry that this thread works for."""
    return _current.get()


def doing(name: str, kind: Kind, database: str, keys: Sequence[str] = ()) -> None:
    """Say what is done to which entities, before anybody looks whether it may be."""
    entry = _current.get()
    if entry is not None:
        entry.act, entry.database, entry.keys = Act(name, kind), database, keys


def bound_to(database: Database) -> None:
    """Say which database it is, once it may be looked at."""
    entry = _current.get()
    if entry is not None:
        entry.database, entry.incarnation = database.name, database.incarnation


def called_by(caller: Caller) -> None:
    """Say who has proven to call.

    Raises:
        UnavailableError: What he is about to do has to be recorded, and cannot be.
    """
    entry = _current.get()
    if entry is not None:
        entry.identify(entry, caller)


def before_write() -> None:
    """Say that a write takes effect next.

    Raises:
        UnavailableError: It has to be recorded, and cannot be.
    """
    entry = _current.get()
    if entry is not None:
        entry.before_write(entry)


def changing() -> None:
    """Say that something takes effect next which an administrator is answerable for.

    Raises:
        UnavailableError: It cannot be recorded.
    """
    entry = _current.get()
    if entry is not None:
        entry.act = Act(entry.act.name, Kind.CHANGE)
        entry.before_write(entry)


def acting_for(subject: str, name: str) -> None:
    """Say that a client does this for one of its users."""
    entry = _current.get()
    if entry is not None:
        entry.act, entry.subject = Act(name, entry.act.kind), subject


def proven_client(client_id: str) -> None:
    """Say that a client has proven itself by its secret."""
    entry = _current.get()
    if entry is not None:
        entry.client = client_id


def proven_worker(worker_id: str) -> None:
    """Say that a worker has proven itself by its credential."""
    entry = _current.get()
    if entry is not None:
        entry.worker = worker_id


def note(**facts: str | int) -> None:
    """Add facts that an auditor wants to know; no secret, no key of an entity, no document."""
    entry = _current.get()
    if entry is not None:
        entry.detail.update(facts)


def unrecorded() -> None:
    """Say that this goes on with something that is on record, and needs no record of its own."""
    entry = _current.get()
    if entry is not None:
        entry.act = Act(entry.act.name, Kind.NOTHING)
