"""What is recorded of which act, when, and what follows where it cannot be.

    begin -> identified -> intend -> the act -> conclude

An administrative act that changes something is on the disk as an intent before it takes effect, and
with its outcome before the answer. One that only tells something, a worker's subscription too, is
on the disk before the answer. Reads and writes go by setting, denials are recorded a moment later,
or counted where there are very many.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from main_api.domain import addresses
from main_api.domain.addresses import Origin
from main_api.domain.audit import records
from main_api.domain.audit.acts import Act, Kind, Recording
from main_api.domain.audit.policy import AuditPolicy
from main_api.domain.audit.records import OK, Record
from main_api.domain.caller import Caller
from main_api.service.audit import entry as audit_entry
from main_api.service.audit.entry import Entry
from main_api.service.audit.journal import Journal, JournalState
from main_api.service.audit.thinning import Alike, Count, Thinning
from main_api.service.periodic import Periodic
from strongroom import ids, limits, naming
from strongroom.clock import Clock, rfc3339
from strongroom.configuration import Database
from strongroom.errors import OutcomeUnknownError, StrongroomError, UnavailableError
from strongroom.keyring import Keys, Purpose

_DENIALS: Final = frozenset({"unauthenticated", "forbidden"})
_LIMITED: Final = "rate-limited"
_UNFORESEEN: Final = "internal"
STARTED: Final = Act("start", Kind.EVENT)


class Audit:
    """Records what is done. Safe under threads."""

    def __init__(
        self,
        journal: Journal,
        keys: Keys,
        clock: Clock,
        policy: AuditPolicy,
        *,
        administers_any: Callable[[Caller], bool],
        database: Callable[[str], Database | None],
    ) -> None:
        """Take the parts.

        Args:
            journal: Writes.
            keys: The naming key is among them.
            clock: Dates what is recorded.
            policy: The settings.
            administers_any: Tells whether a caller administers anything at all.
            database: Looks a database up.
        """
        self._journal = journal
        self._keys = keys
        self._clock = clock
        self._policy = policy
        self._administers_any = administers_any
        self._database = database
        self._thinning = Thinning(clock)
        self._periodic: Periodic | None = None

    # -- the life of a process ---------------------------------------------------------------------

    def start(self, face: str, **facts: str | int) -> None:
        """Write in the background from now on: for a process that is not frozen in between."""
        self._journal.is_flushed_by_others = True
        self._periodic = Periodic("audit", limits.AUDIT_FLUSHED_EVERY_SECONDS, self.step)
        self._periodic.start()
        self.conclude(self._entry(STARTED, face, detail=dict(facts)), OK)

    def step(self) -> None:
        """Write what waits."""
        self._tell(self._thinning.due())
        self._journal.flush()

    def close(self) -> None:
        """Write what waits, and end the chain."""
        if self._periodic is not None:
            self._periodic.stop()
        self._tell(self._thinning.rest())
        self._journal.close()

    def state(self) -> JournalState:
        """Return whether the log can be written."""
        return self._journal.state()

    @property
    def is_needed(self) -> bool:
        """Whether clients can do nothing at all that is not recorded."""
        return {self._policy.reads, self._policy.writes} == {Recording.REQUIRED}

    @property
    def can_serve(self) -> bool:
        """Tell whether clients can do anything at all."""
        return not self.is_needed or self.state().is_up

    # -- an act ------------------------------------------------------------------------------------

    def begin(self, act: Act, face: str, request_id: str, origin: Origin) -> Entry:
        """Return the entry of a request."""
        made = self._entry(act, face, request_id=request_id)
        proxies = self._policy.trusted_proxies
        made.address = addresses.address_of(origin, proxies)
        made.network = addresses.network_of(origin, proxies)
        return made

    def identified(self, entry: Entry, caller: Caller) -> None:
        """Say who acts."""
        entry.client = caller.client_id
        entry.subject = caller.subject if caller.is_user else ""

    def intend(self, entry: Entry, caller: Caller) -> None:
        """Put on record that somebody is about to do something, where that comes first.

        Who administers nothing is refused by the use case, and has no intent written.

        Raises:
            UnavailableError: It cannot be put on record, and must not be done.
        """
        if entry.act.kind is Kind.CHANGE and self._administers_any(caller):
            self._intend(entry)

    def conclude(self, entry: Entry, outcome: str) -> None:
        """Say how it ended: `OK`, or the code of an error.

        Raises:
            UnavailableError: It cannot be put on record, and must not be answered.
            OutcomeUnknownError: The same of something that was done.
        """
        entry.ended_ms = self._clock.wall_ms()
        kind = entry.act.kind
        if entry.tie:
            self._conclude_intended(entry, outcome)
        elif self._is_denial(entry, outcome):
            self._record_some(entry, outcome)
        elif outcome == _LIMITED:
            # It was not listened to; a limit is no denial.
            return
        elif kind is Kind.READ or kind is Kind.WRITE:
            self._conclude_by_setting(entry, outcome)
        elif kind is Kind.DISCLOSURE and entry.is_proven:
            self._journal.write(self._line(entry, outcome), is_durable=True)
        elif kind is Kind.CHANGE and outcome == OK:
            self._conclude_change(entry)
        elif kind is not Kind.NOTHING:
            self._record_some(entry, outcome)

    @contextmanager
    def acting(self, name: str, **facts: str | int) -> Iterator[None]:
        """Record what this process does as an intent and an outcome.

        It does so by itself, or for whomever it serves at that moment.

        Args:
            name: What it does.
            facts: Facts about it, known before it is done.

        Raises:
            UnavailableError: The intent cannot be put on record; nothing was done.
            OutcomeUnknownError: The outcome cannot.
        """
        made = self._by_itself(Act(name, Kind.CHANGE), facts)
        self._intend(made)
        outcome = _UNFORESEEN
        try:
            yield
            outcome = OK
        except StrongroomError as error:
            outcome = error.code
            raise
        finally:
            self.conclude(made, outcome)

    def did(self, name: str, **facts: str | int) -> None:
        """Record, durably, what this process has done.

        Raises:
            OutcomeUnknownError: It cannot be put on record.
        """
        self.conclude(self._by_itself(Act(name, Kind.CHANGE), facts), OK)

    def _by_itself(self, act: Act, facts: dict[str, str | int]) -> Entry:
        made = self._entry(act, "main", detail=dict(facts))
        cause = audit_entry.current()
        if cause is not None:
            made.face, made.request_id, made.address = cause.face, cause.request_id, cause.address
            made.client, made.subject, made.worker = cause.client, cause.subject, cause.worker
            made.detail = {**cause.detail, **made.detail}
            if cause.act.name:
                made.detail["during"] = cause.act.name
        return made

    def _entry(
        self,
        act: Act,
        face: str,
        *,
        request_id: str = "",
        detail: dict[str, str | int] | None = None,
    ) -> Entry:
        return Entry(
            act,
            face,
            self._identify,
            self._before_write,
            request_id=request_id,
            detail=detail or {},
        )

    def _intend(self, entry: Entry) -> None:
        entry.ended_ms = self._clock.wall_ms()
        entry.tie = ids.new_id(64)
        try:
            self._journal.write(self._line(entry, "", is_intent=True), is_durable=True)
        except UnavailableError:
            entry.tie = ""
            raise

    def _identify(self, entry: Entry, caller: Caller) -> None:
        self.identified(entry, caller)
        self.intend(entry, caller)

    def _before_write(self, entry: Entry) -> None:
        is_required = self._policy.writes is Recording.REQUIRED
        if entry.act.kind is Kind.CHANGE or (entry.act.kind is Kind.WRITE and is_required):
            self._intend(entry)

    def _conclude_intended(self, entry: Entry, outcome: str) -> None:
        line = self._line(entry, outcome)
        if entry.act.kind is not Kind.CHANGE:
            # That the write was about to be made is on the disk.
            self._journal.write(line, is_durable=False)
        elif outcome == OK:
            self._conclude_change(entry)
        else:
            self._conclude_failed(entry, outcome)

    def _conclude_change(self, entry: Entry) -> None:
        try:
            self._journal.write(self._line(entry, OK), is_durable=True)
        except UnavailableError as error:
            raise OutcomeUnknownError(
                "this was done, but the audit log could not be written; look whether it was done"
                " before you repeat it",
                retry_after_s=1,
            ) from error

    def _conclude_failed(self, entry: Entry, outcome: str) -> None:
        """Record why it was not done; where that fails, the answer is that it was not all the same.

        Its intent is on the disk, and the log says itself that records were lost.
        """
        try:
            self._journal.write(self._line(entry, outcome), is_durable=True)
        except UnavailableError:
            return

    def _conclude_by_setting(self, entry: Entry, outcome: str) -> None:
        is_read = entry.act.kind is Kind.READ
        recording = self._policy.reads if is_read else self._policy.writes
        if recording is Recording.OFF or not entry.is_proven:
            return
        if recording is Recording.REQUIRED and is_read:
            self._journal.write(self._line(entry, outcome), is_durable=True)
        else:
            self._journal.write(partial(self._line, entry, outcome), is_durable=False)

    @staticmethod
    def _is_denial(entry: Entry, outcome: str) -> bool:
        return outcome in _DENIALS or (outcome == _LIMITED and not entry.is_proven)

    # -- many that are alike -----------------------------------------------------------------------

    def _record_some(self, entry: Entry, outcome: str) -> None:
        network = "" if entry.is_proven else entry.network
        alike = Alike(entry.client, entry.worker, network, entry.act.name, outcome)
        if self._thinning.passes(alike):
            # Made later, by another thread: whoever is refused must not learn from the time that
            # it takes whether there is such a database.
            self._journal.write(partial(self._line, entry, outcome), is_durable=False)
        self._tell(self._thinning.due())

    def _tell(self, counts: dict[Alike, Count]) -> None:
        for alike, count in counts.items():
            record = Record(
                at=rfc3339(count.first_ms),
                act=alike.act,
                outcome=alike.outcome,
                face="main",
                client=alike.client,
                worker=alike.worker,
                address=alike.network,
                count=count.number,
                until=rfc3339(count.last_ms),
            )
            self._journal.write(records.encode(record), is_durable=False)

    # -- a record ----------------------------------------------------------------------------------

    def _line(self, entry: Entry, outcome: str, *, is_intent: bool = False) -> bytes:
        return records.encode(
            Record(
                at=rfc3339(entry.ended_ms),
                act=entry.act.name,
                intent=is_intent,
                outcome=outcome,
                face=entry.face,
                client=entry.client,
                subject=entry.subject,
                worker=entry.worker,
                claimed=entry.claimed,
                address=entry.address,
                database=entry.database,
                keys=self._file_ids(entry),
                target=entry.target,
                detail=entry.detail,
                request_id=entry.request_id,
                entry=entry.tie,
            )
        )

    def _file_ids(self, entry: Entry) -> tuple[str, ...]:
        """Return what names the entities' files; nothing where there is no such database."""
        if not entry.keys:
            return ()
        incarnation = entry.incarnation or self._incarnation(entry.database)
        if not incarnation:
            return ()
        key = self._keys.active(Purpose.NAMING).material
        return tuple(
            naming.file_id(key, entry.database, incarnation, entity_key).hex()
            for entity_key in entry.keys
        )

    def _incarnation(self, database: str) -> str:
        if not self._journal.is_flushed_by_others:
            # The thread of the request would look it up.
            return ""
        try:
            found = self._database(ids.database_name(database))
        except StrongroomError:
            return ""
        return "" if found is None else found.incarnation
