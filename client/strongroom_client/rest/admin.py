"""Operations of administrators as requests over HTTP, and responses as their answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from strongroom_client.admin_calls import AdminRead
from strongroom_client.administration import (
    Backup,
    ClientRecord,
    Database,
    Explanation,
    Grant,
    Job,
    Key,
    KeyExport,
    PublishedKeys,
    WorkerCredential,
)
from strongroom_client.oversight import AuditHead, AuditPage, Removal
from strongroom_client.rest import records
from strongroom_client.rest.messages import HttpRequest, HttpResponse
from strongroom_client.rest.targets import encoded, path, query, sent

_Given = Mapping[str, Any]
_PAGE: Final = ("cursor",)
_FOR_TOKENS: Final = b'{"purpose":"token-signing"}'


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
    return lambda given: encoded({n: given[n] for n in names if given.get(n) is not None})


def _as_it_is(name: str) -> Callable[[_Given], bytes]:
    """Return what takes the text that is given under a name for the body."""

    def body(given: _Given) -> bytes:
        text: bytes = given[name]
        return text

    return body


def _asked(given: _Given) -> bytes:
    said = {name: given[name] for name in ("database", "action", "key")}
    return encoded(said | ({} if given["user"] is None else {"sub": given["user"]}))


def _page(given: _Given) -> bytes:
    return encoded({"cursor": given["cursor"], "limit": given["page_size"]})


def _granted(given: _Given) -> bytes:
    grants = {name: [_grant(one) for one in given[name]] for name in ("grants", "user_grants")}
    return encoded(grants)


def _grant(one: Grant) -> dict[str, Any]:
    return {
        "database": one.database,
        "actions": sorted(one.actions),
        "key_prefix": one.key_prefix,
    }


_SCHEMA: Final = ("schemas", "{schema_id}")
_DATABASE: Final = ("databases", "{database}")
_CLIENT: Final = ("clients", "{client_id}")
_WORKER: Final = ("workers", "{worker_id}")
_JOB: Final = ("jobs", "{job_id}")
_ISSUER: Final = ("issuers", "{name}")
_BACKUP: Final = ("backups", "{backup_id}")
_ROUTES: Final[Mapping[str, _Route]] = {
    "put_schema": _Route("PUT", _SCHEMA, records.template, body=_as_it_is("schema")),
    "schema": _Route("GET", _SCHEMA, records.template),
    "schemas": _Route("GET", ("schemas",), records.templates, _PAGE),
    "delete_schema": _Route("DELETE", _SCHEMA, records.nothing),
    "put_database": _Route(
        "PUT", _DATABASE, records.record(Database), body=_members("schema_id", "ttl_seconds")
    ),
    "database": _Route("GET", _DATABASE, records.record(Database)),
    "databases": _Route("GET", ("databases",), records.listing("databases", Database), _PAGE),
    "delete_database": _Route("DELETE", _DATABASE, records.nothing),
    "put_client": _Route("PUT", _CLIENT, records.record(ClientRecord), body=_granted),
    "client": _Route("GET", _CLIENT, records.record(ClientRecord)),
    "clients": _Route("GET", ("clients",), records.listing("clients", ClientRecord), _PAGE),
    "delete_client": _Route("DELETE", _CLIENT, records.nothing),
    "rotate_secret": _Route(
        "POST",
        (*_CLIENT, "rotate-secret"),
        records.record(ClientRecord),
        body=_members("overlap_seconds"),
    ),
    "workers": _Route("GET", ("workers",), records.live),
    "revoked_workers": _Route("GET", ("workers",), records.revoked),
    "revoke_worker": _Route("DELETE", _WORKER, records.nothing, ("unseen",)),
    "reinstate_worker": _Route("POST", (*_WORKER, "reinstate"), records.nothing),
    "data_keys": _Route("GET", ("keys",), records.listing("keys", Key)),
    "rotate_keys": _Route("POST", ("keys", "rotate"), records.key_id, body=_members()),
    "rewrap_keys": _Route(
        "POST", ("keys", "rewrap"), records.job_id, body=_members("files_per_second")
    ),
    "destroy_key": _Route(
        "POST", ("keys", "{key_id}", "destroy"), records.job_id, body=_members("shred", "entities")
    ),
    "job": _Route("GET", _JOB, records.record(Job)),
    "jobs": _Route("GET", ("jobs",), records.listing("jobs", Job)),
    "cancel_job": _Route("POST", (*_JOB, "cancel"), records.nothing),
    "dry_run_schema": _Route(
        "PUT", _SCHEMA, records.trial, ("dry_run", "cursor"), body=_as_it_is("schema")
    ),
    "explain_client": _Route(
        "POST", (*_CLIENT, "explain"), records.record(Explanation), body=_asked
    ),
    "put_issuer": _Route("PUT", _ISSUER, records.issuer, body=_as_it_is("trusted")),
    "issuer": _Route("GET", _ISSUER, records.issuer),
    "issuers": _Route("GET", ("issuers",), records.issuers),
    "delete_issuer": _Route("DELETE", _ISSUER, records.nothing),
    "ask_issuer": _Route("POST", (*_ISSUER, "ask"), records.record(PublishedKeys)),
    "put_worker_credential": _Route("PUT", _WORKER, records.record(WorkerCredential), ("replace",)),
    "signing_keys": _Route("GET", ("keys",), records.signing_keys),
    "recovery_key": _Route("GET", ("keys",), records.recovery_key),
    "rotate_signing_keys": _Route(
        "POST", ("keys", "rotate"), records.key_id, body=lambda _: _FOR_TOKENS
    ),
    "export_keys": _Route("POST", ("keys", "export"), records.export),
    "key_exports": _Route("GET", ("keys", "exports"), records.listing("exports", KeyExport)),
    "delete_key_export": _Route("DELETE", ("keys", "exports", "{export_id}"), records.nothing),
    "record_backup": _Route("PUT", _BACKUP, records.record(Backup)),
    "backups": _Route("GET", ("backups",), records.listing("backups", Backup)),
    "delete_backup": _Route("DELETE", _BACKUP, records.nothing),
    "audit_page": _Route("POST", ("audit", "records"), records.record(AuditPage), body=_page),
    "audit_heads": _Route("GET", ("audit", "heads"), records.listing("heads", AuditHead)),
    "audit_keys": _Route("GET", ("audit", "keys"), records.audit_keys),
    "remove_audit": _Route(
        "POST", ("audit", "remove"), records.record(Removal), body=_members("before")
    ),
    "verify": _Route("POST", ("verify",), records.verification, body=_members("cursor", "repair")),
}
OPERATIONS: Final = frozenset(_ROUTES)
