"""What a request to the REST face is to the audit log."""

from typing import Any, Final

import msgspec
from chalice.app import RouteEntry

from main_api.domain.addresses import Origin
from main_api.domain.audit import acts
from main_api.domain.audit.acts import Act, Kind
from main_api.domain.audit.records import OK
from main_api.rest import problems
from main_api.rest.incoming import Incoming
from main_api.rest.operations import Operation
from main_api.service.audit.entry import Entry
from main_api.service.audit.trail import Audit
from strongroom.errors import StrongroomError
from strongroom.tracing import Trace

FACE: Final = "rest"
_UNREAD: Final = Act("unread", Kind.NOTHING)
_FAILED_FROM: Final = 400
_GET: Final = "GET"


class _Problem(msgspec.Struct):
    type: str


def act(route: RouteEntry, method: str, operation: Operation | None) -> Act:
    """Return what is done at a route: the name of its view, and what follows from its rights."""
    rights: frozenset[str] = frozenset() if operation is None else operation.right_names
    return acts.act(route.view_function.__name__, rights, only_reads=method == _GET)


def begun(audit: Audit, done: Act, incoming: Incoming) -> Entry:
    """Return the entry of a request, with what its path is about."""
    entry = audit.begin(done, FACE, incoming.trace.request_id, incoming.origin)
    entry.target = dict(incoming.event.get("pathParameters") or {})
    entry.database = entry.target.pop("database", "")
    return entry


def refused(audit: Audit, trace: Trace, origin: Origin, error: StrongroomError) -> None:
    """Record a request that was refused before anybody looked what it is for."""
    audit.conclude(audit.begin(_UNREAD, FACE, trace.request_id, origin), error.code)


def outcome(answer: dict[str, Any]) -> str:
    """Return `OK`, or the code of the problem that is answered."""
    status: int = answer["statusCode"]
    if status < _FAILED_FROM:
        return OK
    try:
        problem = msgspec.json.decode(answer.get("body") or "", type=_Problem)
    except msgspec.MsgspecError:
        return f"http-{status}"
    return problem.type.removeprefix(problems.TYPE_PREFIX)
