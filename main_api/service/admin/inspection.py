"""Looking through all that is stored: for damage, and for what a template would refuse."""

import base64
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from main_api.domain.caller import Caller
from main_api.domain.grants import Action
from main_api.service.admin.provisioning import Provisioning
from main_api.service.callers.access import Access
from main_api.service.ports import ControlStore
from main_api.service.requests.dispatch import Dispatcher
from main_api.service.workers.ports import Inspected, PageRequest, RefusedPage, WorkerClient
from strongroom import ids, jsontext, limits
from strongroom.clock import Clock
from strongroom.configuration import Database, Template
from strongroom.errors import InvalidArgumentError, StrongroomError, UnavailableError, Violation
from strongroom.finding import Condition, Finding


@dataclass(frozen=True, slots=True)
class Refusal:
    """A stored entity that a new template would refuse, as far as the caller may read it."""

    database: str
    key: str
    version: int
    violations: tuple[Violation, ...]
    detail: str
    code: str


@dataclass(frozen=True, slots=True)
class Trial:
    """What a new template would refuse of what is stored.

    Attributes:
        template: As it would be.
        examined: How many entities were looked at.
        refused: How many of them it would refuse.
        damaged: How many files did not verify.
        reasons: How many entities each keyword refuses.
        refusals: Those that the caller may read.
        cursor: Where the next page begins; empty for the end.
    """

    template: Template
    examined: int
    refused: int
    damaged: int
    reasons: dict[str, int]
    refusals: tuple[Refusal, ...]
    cursor: str


class _Place(msgspec.Struct, frozen=True, array_like=True):
    database: str
    cursor: str


class Inspection:
    """Looks through what is stored, a bounded piece per call.

    Both methods take the action `admin` in a grant on every database, and raise ForbiddenError
    where it is missing.
    """

    def __init__(
        self,
        access: Access,
        store: ControlStore,
        provisioning: Provisioning,
        dispatcher: Dispatcher,
        workers: WorkerClient,
        *,
        clock: Clock,
        check_keyring: Callable[[], None],
    ) -> None:
        """Take the parts; `check_keyring` reads the keyring anew, raises IntegrityError."""
        self._access = access
        self._store = store
        self._provisioning = provisioning
        self._dispatcher = dispatcher
        self._workers = workers
        self._clock = clock
        self._check_keyring = check_keyring

    def try_template(self, caller: Caller, schema_id: str, schema: bytes, cursor: str) -> Trial:
        """Tell what a template would refuse of the databases that are bound to its id.

        Raises:
            InvalidDocumentError, TooLargeError, InvalidArgumentError: It is refused itself, or the
                cursor is not one of this.
            UnavailableError: No worker can serve now.
        """
        self._access.require_everywhere(caller)
        template = self._provisioning.try_template(ids.schema_id(schema_id), schema)
        under_way = _TrialUnderWay(self._access, caller)
        place = _opened(cursor)
        ends_at_s = self._clock.boot_s() + limits.INSPECTION_SECONDS
        databases = self._provisioning.databases_of(schema_id)
        for database in (one for one in databases if one.name >= place.database):
            inner: str | None = place.cursor if database.name == place.database else ""
            while inner is not None:
                if under_way.left == 0 or self._clock.boot_s() >= ends_at_s:
                    return under_way.finished(template, _sealed(_Place(database.name, inner)))
                page = self._refused(caller, database, schema, inner, under_way.left)
                under_way.take(database, page)
                inner = page.cursor or None
        return under_way.finished(template, "")

    def verify(self, caller: Caller, cursor: str, *, repair: bool) -> Inspected:
        """Look at files, from a cursor on; the first call looks at the Main Worker's own too.

        Raises:
            InvalidArgumentError: Not a cursor.
            UnavailableError: No worker can serve now.
        """
        self._access.require_everywhere(caller)
        if len(cursor) > limits.CURSOR_CHARS_MAX:
            raise InvalidArgumentError("the cursor is not one of an inspection")
        mine = [] if cursor else [*self._keyring(), *self._store.inspect(repair=repair)]
        found = self._dispatcher.inspect(
            lambda worker, timeout_s: self._workers.inspect(
                worker, cursor, timeout_s, repair=repair
            )
        )
        return Inspected(
            (*mine, *found.findings), found.cursor, found.examined, found.done, found.total
        )

    def _keyring(self) -> list[Finding]:
        try:
            self._check_keyring()
        except UnavailableError as error:
            # The key provider may be down, which says nothing about the file.
            return [Finding("control/keyring.json", Condition.UNJUDGED, error.detail)]
        except StrongroomError as error:
            return [Finding("control/keyring.json", Condition.DAMAGED, error.detail)]
        return []

    def _refused(
        self, caller: Caller, database: Database, schema: bytes, cursor: str, limit: int
    ) -> RefusedPage:
        request = PageRequest(
            prefix="",
            key_prefixes=("",),
            filter="",
            select="",
            limit=limit,
            cursor=cursor,
            scope=caller.unique_id,
        )
        return self._dispatcher.inspect(
            lambda worker, timeout_s: self._workers.try_template(
                worker, database, schema, request, timeout_s
            )
        )


class _TrialUnderWay:
    def __init__(self, access: Access, caller: Caller) -> None:
        self._access = access
        self._caller = caller
        self._examined = self._damaged = self._refused = self._bytes = 0
        self._reasons: Counter[str] = Counter()
        self._refusals: list[Refusal] = []

    def take(self, database: Database, page: RefusedPage) -> None:
        self._examined += page.examined
        self._damaged += page.damaged
        self._refused += len(page.refused)
        may_read = self._access.prefixes(self._caller, database.name, Action.READ)
        for one in page.refused:
            violations = tuple(one.refusal.violations)
            # What refuses no single place (size, say) is named by its code.
            self._reasons.update({v.keyword for v in violations} or {one.refusal.code})
            if one.key.startswith(may_read):
                self._bytes += sum(len(v.pointer) + len(v.detail) for v in violations)
                self._refusals.append(
                    Refusal(
                        database.name,
                        one.key,
                        one.version,
                        violations,
                        one.refusal.detail,
                        one.refusal.code,
                    )
                )

    @property
    def left(self) -> int:
        """How many more fit into an answer."""
        if self._bytes >= limits.TRIAL_BYTES_MAX:
            return 0
        return limits.TRIAL_REFUSALS_MAX - self._refused

    def finished(self, template: Template, cursor: str) -> Trial:
        return Trial(
            template=template,
            examined=self._examined,
            refused=self._refused,
            damaged=self._damaged,
            reasons=dict(self._reasons),
            refusals=tuple(self._refusals),
            cursor=cursor,
        )


def _sealed(place: _Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def _opened(cursor: str) -> _Place:
    if not cursor:
        return _Place("", "")
    try:
        if len(cursor) > 2 * limits.CURSOR_CHARS_MAX:
            raise InvalidArgumentError("the cursor is not one of this")
        raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=_Place)
    except jsontext.UNREADABLE as error:
        raise InvalidArgumentError("the cursor is not one of this") from error
