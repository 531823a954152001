"""Operations of administrators as requests over HTTP, and responses as their answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from strongroom_client.admin_calls import AdminRead
from strongroom_client.administration import (
    ClientRecord,
    Database,
    Grant,
    Job,
    Key,
    Listing,
    RevokedWorker,
    Template,
    Worker,
)
from strongroom_client.rest.messages import HttpRequest, HttpResponse
from strongroom_client.rest.targets import encoded, path, query, sent

_Given = Mapping[str, Any]
_PAGE: Final = ("cursor",)


class _Template(msgspec.Struct, frozen=True):
    schema_id: str
    schema_version: int
    created_at: str
    updated_at: str
    schema: msgspec.Raw = msgspec.Raw()

    def to_template(self) -> Template:
        """Return it as callers have it."""
        return Template(
            schema_id=self.schema_id,
            schema_version=self.schema_version,
            created_at=self.created_at,
            updated_at=self.updated_at,
            text=bytes(self.schema),
        )


class _Templates(msgspec.Struct, frozen=True):
    schemas: list[_Template]
    cursor: str = ""


class _Registry(msgspec.Struct, frozen=True):
    workers: list[Worker]
    revoked: list[RevokedWorker]


class _KeyId(msgspec.Struct, frozen=True):
    key_id: str


class _JobId(msgspec.Struct, frozen=True):
    job_id: str


@dataclass(frozen=True, slots=True)
class _Route:
    """An operation over HTTP.

    Attributes:
        method: Its method.
        segments: Its path; a name in braces stands for what is given under it.
        read: Makes the answer of a response's body.
        query: What of what is given stands in the query.
        body: Makes the body, JSON text.
    """

    method: str
    segments: tuple[str, ...]
    read: Callable[[bytes], Any]
    query: tuple[str, ...] = ()
    body: Callable[[_Given], bytes] | None = None


def ask(call: AdminRead[Any]) -> HttpRequest:
    """Return the request of a call."""
    route, given = _ROUTES[call.name], call.given
    names = (given[one[1:-1]] if one[0] == "{" else one for one in route.segments)
    asked = [(name, _said(given[name])) for name in route.query if given.get(name)]
    target = path(*names) + query(asked)
    if route.body is None:
        return HttpRequest(route.method, target)
    return sent(route.method, target, route.body(given), {})


def read(call: AdminRead[Any], response: HttpResponse) -> Any:  # noqa: ANN401 - the call's own type
    """Return what a response says."""
    return _ROUTES[call.name].read(response.body)


def _said(value: object) -> str:
    return "true" if value is True else str(value)


def _members(*names: str) -> Callable[[_Given], bytes]:
    """Return what makes a body of what is given under names; what is None is left out."""
    return lambda given: encoded({n: given[n] for n in names if given[n] is not None})


def _granted(given: _Given) -> bytes:
    grants = {name: [_grant(one) for one in given[name]] for name in ("grants", "user_grants")}
    return encoded(grants)


def _grant(one: Grant) -> dict[str, Any]:
    return {
        "database": one.database,
        "actions": sorted(one.actions),
        "key_prefix": one.key_prefix,
    }


def _record(kind: type) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(kind).decode


def _listing(member: str, kind: Any) -> Callable[[bytes], Any]:  # noqa: ANN401 - a type
    page = msgspec.defstruct("Page", [(member, list[kind]), ("cursor", str, "")])
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(page)

    def read_page(body: bytes) -> Listing[Any]:
        found = decoder.decode(body)
        return Listing(tuple(getattr(found, member)), found.cursor)

    return read_page


def _template(body: bytes) -> Template:
    return msgspec.json.decode(body, type=_Template).to_template()


def _templates(body: bytes) -> Listing[Template]:
    found = msgspec.json.decode(body, type=_Templates)
    return Listing(tuple(one.to_template() for one in found.schemas), found.cursor)


def _live(body: bytes) -> Listing[Worker]:
    return Listing(tuple(msgspec.json.decode(body, type=_Registry).workers))


def _revoked(body: bytes) -> Listing[RevokedWorker]:
    return Listing(tuple(msgspec.json.decode(body, type=_Registry).revoked))


def _key_id(body: bytes) -> str:
    return msgspec.json.decode(body, type=_KeyId).key_id


def _job_id(body: bytes) -> str:
    return msgspec.json.decode(body, type=_JobId).job_id


def _nothing(_: bytes) -> None:
    return None


_SCHEMA: Final = ("schemas", "{schema_id}")
_DATABASE: Final = ("databases", "{database}")
_CLIENT: Final = ("clients", "{client_id}")
_WORKER: Final = ("workers", "{worker_id}")
_JOB: Final = ("jobs", "{job_id}")
_ROUTES: Final[Mapping[str, _Route]] = {
    "put_schema": _Route("PUT", _SCHEMA, _template, body=lambda given: given["schema"]),
    "schema": _Route("GET", _SCHEMA, _template),
    "schemas": _Route("GET", ("schemas",), _templates, _PAGE),
    "delete_schema": _Route("DELETE", _SCHEMA, _nothing),
    "put_database": _Route(
        "PUT", _DATABASE, _record(Database), body=_members("schema_id", "ttl_seconds")
    ),
    "database": _Route("GET", _DATABASE, _record(Database)),
    "databases": _Route("GET", ("databases",), _listing("databases", Database), _PAGE),
    "delete_database": _Route("DELETE", _DATABASE, _nothing),
    "put_client": _Route("PUT", _CLIENT, _record(ClientRecord), body=_granted),
    "client": _Route("GET", _CLIENT, _record(ClientRecord)),
    "clients": _Route("GET", ("clients",), _listing("clients", ClientRecord), _PAGE),
    "delete_client": _Route("DELETE", _CLIENT, _nothing),
    "rotate_secret": _Route(
        "POST",
        (*_CLIENT, "rotate-secret"),
        _record(ClientRecord),
        body=_members("overlap_seconds"),
    ),
    "workers": _Route("GET", ("workers",), _live),
    "revoked_workers": _Route("GET", ("workers",), _revoked),
    "revoke_worker": _Route("DELETE", _WORKER, _nothing, ("unseen",)),
    "reinstate_worker": _Route("POST", (*_WORKER, "reinstate"), _nothing),
    "data_keys": _Route("GET", ("keys",), _listing("keys", Key)),
    "rotate_keys": _Route("POST", ("keys", "rotate"), _key_id, body=_members()),
    "rewrap_keys": _Route("POST", ("keys", "rewrap"), _job_id, body=_members("files_per_second")),
    "destroy_key": _Route(
        "POST", ("keys", "{key_id}", "destroy"), _job_id, body=_members("shred", "entities")
    ),
    "job": _Route("GET", _JOB, _record(Job)),
    "jobs": _Route("GET", ("jobs",), _listing("jobs", Job)),
    "cancel_job": _Route("POST", (*_JOB, "cancel"), _nothing),
}
OPERATIONS: Final = frozenset(_ROUTES)
