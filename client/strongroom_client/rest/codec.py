"""Calls as requests over HTTP, and responses as their answers."""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeGuard, TypeVar, cast
from urllib.parse import urlencode

import msgspec

from strongroom_client import admin_calls, calls, errors
from strongroom_client.core.steps import Broken
from strongroom_client.rest import admin
from strongroom_client.rest.messages import HttpRequest, HttpResponse
from strongroom_client.rest.problems import ViolationMember, refusal, refused
from strongroom_client.rest.targets import JSON, encoded, path, query, sent
from strongroom_client.values import Condition, Entity, Page, Refusals
from strongroom_client.written import Written

T = TypeVar("T")
_LINES: Final = "application/x-ndjson"
_FORM: Final = "application/x-www-form-urlencoded"
_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_USER: Final = "urn:strongroom:token-type:user"
_NOT_MODIFIED: Final = 304
_NO_CONTENT: Final = 204
_NO_DATABASE: Final = "no such database"
_VISIBLE: Final = re.compile(r"[ -~]{1,128}")
_TAG: Final = re.compile(r'"([0-9]{1,15})"')


class _Token(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: float


class _Item(msgspec.Struct, frozen=True):
    key: str
    version: int
    entity: msgspec.Raw


class _Page(msgspec.Struct, frozen=True):
    items: list[_Item]
    examined: int
    cursor: str = ""
    damaged: int = 0


class _Written(msgspec.Struct, frozen=True):
    version: int
    created: bool
    created_at: str
    updated_at: str
    expires_at: str | None = None


class _Deleted(msgspec.Struct, frozen=True):
    deleted: bool


class _Verdict(msgspec.Struct, frozen=True):
    valid: bool
    error: str = ""
    detail: str = ""
    errors: tuple[ViolationMember, ...] = ()


@dataclass(frozen=True, slots=True)
class _Way:
    """How a kind of call is asked for, and how its answer is read."""

    ask: Callable[[Any], HttpRequest]
    read: Callable[[Any, HttpResponse], Any]


class RestCodec:
    """Translates calls into HTTP and back (core.steps.Codec)."""

    def request(self, call: calls.Call[Any], token: str | None, request_id: str) -> HttpRequest:
        """Return the request of a call."""
        asked = _WAYS[type(call)].ask(call)
        headers = {"X-Request-ID": request_id, "Accept": JSON, **asked.headers}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if isinstance(call, calls.IdempotentWrite):
            headers["Idempotency-Key"] = _visible(call.idempotency_key)
        return HttpRequest(asked.method, asked.target, headers, asked.body)

    def answer(self, call: calls.Call[T], response: HttpResponse) -> T | Broken:
        """Return what a response says."""
        is_success = 200 <= response.status < 300  # noqa: PLR2004
        if not is_success and not _is_known(call, response):
            found = refusal(response)
            if isinstance(found, Broken):
                return found
            if _is_only_absent(call, found):
                return cast(
                    "T", [] if isinstance(call, calls.GetEntities) else {call.keys[0]: False}
                )
            raise found
        try:
            answered: T = _WAYS[type(call)].read(call, response)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            # Whoever answers here may be another server.
            raise errors.ServerError("the answer is none of Strongroom's") from error
        return answered


def _is_known(call: calls.Call[Any], response: HttpResponse) -> bool:
    """Tell whether an answer says that the caller has the version that it has asked with."""
    is_not_modified = response.status == _NOT_MODIFIED
    return is_not_modified and isinstance(call, calls.GetEntity) and call.known > 0


def _is_only_absent(
    call: calls.Call[Any], error: errors.StrongroomClientError
) -> TypeGuard[calls.GetEntities | calls.DeleteEntities]:
    """Tell whether a call for several, which are one, is refused because that one is not there.

    Over REST it is answered as a call for a single one is; an absent database has the same status.
    """
    return (
        isinstance(call, calls.GetEntities | calls.DeleteEntities)
        and isinstance(error, errors.NotFoundError)
        and not error.detail.startswith(_NO_DATABASE)
    )


def _visible(text: str) -> str:
    if _VISIBLE.fullmatch(text) is None:
        raise errors.InvalidError("an idempotency key is 1 to 128 visible ASCII characters")
    return text


def _conditions(condition: Condition) -> dict[str, str]:
    if condition.if_version is not None:
        return {"If-Match": f'"{condition.if_version}"'}
    if condition.if_absent:
        return {"If-None-Match": "*"}
    return {"If-Match": "*"} if condition.if_present else {}


def _object(documents: Mapping[str, bytes]) -> bytes:
    """Return a JSON object of texts that are JSON already."""
    return msgspec.json.encode({key: msgspec.Raw(text) for key, text in documents.items()})


def _ask_token(call: calls.IssueToken) -> HttpRequest:
    who = call.credentials
    basic = base64.b64encode(f"{who.client_id}:{who.client_secret}".encode()).decode()
    form = [("grant_type", "client_credentials")]
    if who.user is not None:
        form = [("grant_type", _EXCHANGE), ("subject_token_type", _USER)]
        form.append(("subject_token", who.user))
    if who.scope:
        form.append(("scope", who.scope))
    headers = {"Authorization": f"Basic {basic}", "Content-Type": _FORM}
    return HttpRequest("POST", "/oauth/token", headers, urlencode(form).encode())


def _read_token(_: calls.IssueToken, response: HttpResponse) -> calls.Token:
    said = msgspec.json.decode(response.body, type=_Token)
    return calls.Token(said.access_token, said.expires_in)


def _ask_entity(call: calls.GetEntity) -> HttpRequest:
    # A line of JSON tells the version beside the entity.
    headers = {"Accept": _LINES}
    if call.known:
        headers["If-None-Match"] = f'"{call.known}"'
    return HttpRequest("GET", _entities(call.database) + query([("key", call.key)]), headers)


def _read_entity(call: calls.GetEntity, response: HttpResponse) -> Entity | None:
    if response.status == _NOT_MODIFIED:
        return None
    found = _entity(_item(response.body))
    if found.key != call.key:
        raise ValueError("another entity")
    return found


def _ask_several(call: calls.GetEntities) -> HttpRequest:
    target = _entities(call.database) + query([("key", key) for key in call.keys])
    return HttpRequest("GET", target, {"Accept": _LINES})


def _read_several(_: calls.GetEntities, response: HttpResponse) -> list[Entity]:
    return [_entity(_item(line)) for line in response.body.split(b"\n") if line]


def _ask_page(call: calls.ReadPage) -> HttpRequest:
    # Not as a GET, which can do most of it: what a log keeps of a path is no place for a prefix.
    asked = {"filter": call.filter, "select": call.select, "prefix": call.prefix}
    asked |= {"cursor": call.cursor}
    wanted: dict[str, Any] = {name: value for name, value in asked.items() if value}
    if call.page_size:
        wanted["limit"] = call.page_size
    return sent("POST", _entities(call.database) + "/query", encoded(wanted), {})


def _read_page(_: calls.ReadPage, response: HttpResponse) -> Page:
    page = msgspec.json.decode(response.body, type=_Page)
    return Page(tuple(map(_entity, page.items)), page.cursor, page.examined, page.damaged)


def _ask_put(call: calls.PutEntity) -> HttpRequest:
    target = _entities(call.database) + _ttl(call.ttl_seconds)
    return sent("PUT", target, _object({call.key: call.document}), _conditions(call.condition))


def _ask_put_several(call: calls.PutEntities) -> HttpRequest:
    target = _entities(call.database) + _ttl(call.ttl_seconds)
    return sent("PUT", target, _object(call.documents), {})


def _ask_patch(call: calls.PatchEntity) -> HttpRequest:
    kind = "application/json-patch+json" if call.is_json_patch else "application/merge-patch+json"
    headers = {"Content-Type": kind, **_conditions(call.condition)}
    return sent("PATCH", _entities(call.database), _object({call.key: call.patch}), headers)


def _ask_transform(call: calls.TransformEntity) -> HttpRequest:
    body = {"key": call.key, "expression": call.expression}
    return sent("POST", _entities(call.database) + "/transform", encoded(body), {})


def _read_transformed(call: calls.TransformEntity, response: HttpResponse) -> Entity:
    (text,) = msgspec.json.decode(response.body, type=dict[str, msgspec.Raw]).values()
    tag = _TAG.fullmatch(response.headers.get("etag", ""))
    if tag is None:
        raise ValueError("no version")
    return Entity(call.key, int(tag[1]), bytes(text))


def _ask_store(call: calls.StoreTransformedEntity) -> HttpRequest:
    body = {"key": call.key, "expression": call.expression, "store": True}
    target = _entities(call.database) + "/transform"
    return sent("POST", target, encoded(body), _conditions(call.condition))


def _read_one_written(_: Any, response: HttpResponse) -> Written:  # noqa: ANN401 - of three calls
    (written,) = _written(response)
    return written


def _read_written(_: calls.PutEntities, response: HttpResponse) -> list[Written]:
    return _written(response)


def _ask_verdicts(call: calls.ValidateEntities) -> HttpRequest:
    target = _entities(call.database) + "?dry_run=true"
    return sent("PUT", target, _object(call.documents), {})


def _read_verdicts(_: calls.ValidateEntities, response: HttpResponse) -> Refusals:
    verdicts = msgspec.json.decode(response.body, type=dict[str, _Verdict])
    return {
        key: None if one.valid else refused(key, one.error, one.detail, one.errors)
        for key, one in verdicts.items()
    }


def _ask_delete(call: calls.DeleteEntity) -> HttpRequest:
    target = _entities(call.database) + query([("key", call.key)])
    return HttpRequest("DELETE", target, _conditions(call.condition))


def _ask_delete_several(call: calls.DeleteEntities) -> HttpRequest:
    target = _entities(call.database) + query([("key", key) for key in call.keys])
    return HttpRequest("DELETE", target)


def _read_deleted(call: calls.DeleteEntities, response: HttpResponse) -> dict[str, bool]:
    if response.status == _NO_CONTENT:
        # One key is answered as a single deletion is.
        return dict.fromkeys(call.keys, True)
    said = msgspec.json.decode(response.body, type=dict[str, _Deleted])
    return {key: one.deleted for key, one in said.items()}


def _read_nothing(_: Any, response: HttpResponse) -> None:  # noqa: ANN401 - of several calls
    if response.body:
        raise ValueError("there is an answer where none is expected")


def _entities(database: str) -> str:
    return path("entity", database)


def _ttl(seconds: int | None) -> str:
    return "" if seconds is None else f"?ttl_seconds={seconds}"


def _item(line: bytes) -> _Item:
    return msgspec.json.decode(line, type=_Item)


def _entity(item: _Item) -> Entity:
    return Entity(item.key, item.version, bytes(item.entity))


def _written(response: HttpResponse) -> list[Written]:
    said = msgspec.json.decode(response.body, type=dict[str, _Written])
    return [
        Written(key, one.version, one.created, one.created_at, one.updated_at, one.expires_at)
        for key, one in said.items()
    ]


_WAYS: Final[Mapping[type[calls.Call[Any]], _Way]] = {
    calls.IssueToken: _Way(_ask_token, _read_token),
    calls.GetEntity: _Way(_ask_entity, _read_entity),
    calls.GetEntities: _Way(_ask_several, _read_several),
    calls.ReadPage: _Way(_ask_page, _read_page),
    calls.PutEntity: _Way(_ask_put, _read_one_written),
    calls.PutEntities: _Way(_ask_put_several, _read_written),
    calls.PatchEntity: _Way(_ask_patch, _read_one_written),
    calls.TransformEntity: _Way(_ask_transform, _read_transformed),
    calls.StoreTransformedEntity: _Way(_ask_store, _read_one_written),
    calls.ValidateEntities: _Way(_ask_verdicts, _read_verdicts),
    calls.DeleteEntity: _Way(_ask_delete, _read_nothing),
    calls.DeleteEntities: _Way(_ask_delete_several, _read_deleted),
    admin_calls.AdminRead: _Way(admin.ask, admin.read),
    admin_calls.AdminWrite: _Way(admin.ask, admin.read),
}
