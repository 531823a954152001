"""The operations on entities and tokens, as each face has them."""

import base64
import json
from typing import Any, Final
from urllib.parse import urlencode

from main_api.domain.grants import Action
from strongroom.rpc import status
from strongroom_pb.v1 import auth_pb2, common_pb2, entity_pb2
from tests.support.faces import Given, HttpRequest, Operation
from tests.support.mains import MainRig, grant
from tests.support.wsgi import Answer

DATABASE: Final = "chatdb"
_PATCHES: Final = {
    "merge_patch": "application/merge-patch+json",
    "json_patch": "application/json-patch+json",
}
_TOKEN: Final = ("token_type", "expires_in", "scope")


def stored(rig: MainRig) -> Given:
    """Put three entities."""
    caller = rig.caller(client_id="filler")
    documents = {"a": b'{"n":1}', "b": b'{"n":2}', "mine/c": b'{"n":3}'}
    rig.entities.put(caller, DATABASE, documents)
    return {}


def _demanded(given: Given) -> dict[str, Any]:
    """Return what a message demands of the entity, and whether it is a trial."""
    condition = {k: given[k] for k in given if k.startswith("if_")}
    demanded: dict[str, Any] = {"condition": common_pb2.Condition(**condition)} if condition else {}
    if "etag" in given:
        demanded["etag"] = given["etag"]
    if "dry_run" in given:
        demanded["validate_only"] = given["dry_run"]
    return demanded


def _write_headers(given: Given) -> dict[str, str]:
    headers = {"Idempotency-Key": given["request_id"]} if given.get("request_id") else {}
    if "if_version" in given:
        headers["If-Match"] = f'"{given["if_version"]}"'
    if "if_present" in given:
        headers["If-Match"] = "*"
    if "etag" in given:
        headers["If-Match"] = given["etag"]
    if "if_absent" in given:
        headers["If-None-Match"] = "*"
    return headers


def _trial(given: Given) -> dict[str, str]:
    return {"dry_run": "true"} if given.get("dry_run") else {}


def _put_response(one: entity_pb2.PutEntityResponse) -> Any:  # noqa: ANN401 - JSON
    metadata = one.metadata
    told = {
        "version": metadata.version,
        "created": one.created,
        "created_at": metadata.created_at,
        "updated_at": metadata.updated_at,
    }
    expiry = {"expires_at": metadata.expires_at} if metadata.expires_at else {}
    return [{one.key: told | expiry}, one.etag]


def _written(answer: Answer) -> Any:  # noqa: ANN401 - JSON
    return [answer.json(), answer.headers["etag"]]


def _mapping(entities: Any) -> dict[str, Any]:  # noqa: ANN401 - messages
    return {one.key: json.loads(one.document) for one in entities}


def _found(answer: Answer) -> Any:  # noqa: ANN401 - JSON
    shown = answer.json() if answer.status == 200 else "not modified"
    return [shown, answer.headers["etag"]]


def _entity(one: entity_pb2.Entity) -> Any:  # noqa: ANN401 - JSON
    shown: Any = "not modified" if one.not_modified else _mapping([one])
    return [shown, one.etag]


def _paged(answer: Answer) -> Any:  # noqa: ANN401 - JSON
    return [answer.json(), "link" in answer.headers]


def _list_request(given: Given) -> entity_pb2.ListEntitiesRequest:
    return entity_pb2.ListEntitiesRequest(
        database=given["database"],
        page_size=given["limit"],
        page_token=given["cursor"],
        prefix=given["prefix"],
        filter=given.get("filter", ""),
        select=given["select"],
    )


def _asked_to_put(given: Given) -> HttpRequest:
    query = {"ttl_seconds": given["ttl_seconds"]} if given.get("ttl_seconds") else {}
    return HttpRequest(query, dict.fromkeys(given["keys"], 1), _write_headers(given))


def _documents(given: Given) -> list[entity_pb2.KeyedDocument]:
    return [entity_pb2.KeyedDocument(key=key, document=b"1") for key in given["keys"]]


def _patch_request(kind: str) -> Any:  # noqa: ANN401 - two functions
    def http(given: Given) -> HttpRequest:
        headers = {"Content-Type": _PATCHES[kind], **_write_headers(given)}
        return HttpRequest(_trial(given), {given["key"]: json.loads(given["patch"])}, headers)

    def message(given: Given) -> entity_pb2.PatchEntityRequest:
        request = entity_pb2.PatchEntityRequest(
            database=given["database"],
            key=given["key"],
            request_id=given["request_id"],
            **_demanded(given),
        )
        setattr(request, kind, given["patch"])
        return request

    return {"http": http, "message": message}


def _basic(given: Given) -> dict[str, str]:
    raw = f"{given['client_id']}:{given['secret']}".encode()
    return {"Authorization": "Basic " + base64.b64encode(raw).decode()}


def _verdicts_over_rest(answer: Answer) -> Any:  # noqa: ANN401 - JSON
    return {key: one.get("error") for key, one in answer.json().items()}


def _verdicts(response: entity_pb2.ValidateEntitiesResponse) -> Any:  # noqa: ANN401 - JSON
    return {
        one.key: status.from_status(one.refusal).code if one.HasField("refusal") else None
        for one in response.verdicts
    }


def _form(given: Given, **fields: str) -> HttpRequest:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return HttpRequest({}, urlencode(fields).encode(), form | _basic(given))


def _exchange(given: Given) -> HttpRequest:
    return _form(
        given,
        grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
        subject_token_type="urn:strongroom:token-type:user",
        subject_token=given["subject"],
        scope=given["scope"],
    )


def _front_end(rig: MainRig) -> Given:
    rights = (grant(DATABASE, Action.READ, Action.WRITE),)
    front = rig.add_front_end("ada", rights, rights)
    return {"secret": front.secret}


def _lost_token(rig: MainRig) -> Given:
    front = rig.add_client("ada", grant(DATABASE, Action.READ))
    return {"secret": front.secret, "token": rig.bearer(front).removeprefix("Bearer ")}


_PAGE: Final = {"database": DATABASE, "limit": 2, "cursor": "", "prefix": "", "select": ""}


def _deleted(one: entity_pb2.DeletedEntity) -> dict[str, Any]:
    return {"deleted": one.deleted} | ({"version": one.version} if one.deleted else {})


_ONE: Final = {"database": DATABASE, "key": "a"}
_WRITE: Final = {"request_id": ""}
_CONDITIONS: Final[dict[str, tuple[Any, ...]]] = {
    "if_version": (1, 7),
    "if_absent": (True,),
    "if_present": (True,),
    "etag": ('"1"', '"7"', '"x"', "*", '"7", "1"', 'W/"1"'),
}
_TRIAL: Final = {"dry_run": (True,)}

OPERATIONS: Final = (
    Operation(
        rest="POST /oauth/token",
        rpc="AuthService.IssueToken",
        given={"client_id": "ada", "scope": "read"},
        http=lambda given: _form(given, grant_type="client_credentials", scope=given["scope"]),
        message=lambda given: auth_pb2.IssueTokenRequest(
            client_id=given["client_id"], client_secret=given["secret"], scope=given["scope"]
        ),
        heard=lambda answer: [answer.json()[name] for name in _TOKEN],
        read=lambda one: [getattr(one, name) for name in _TOKEN],
        prepare=lambda rig: {"secret": rig.add_client("ada").secret},
        variants={"scope": ("", "everything", "read write"), "secret": ("", "wrong")},
    ),
    Operation(
        rest="POST /oauth/token",
        rpc="AuthService.ExchangeToken",
        given={"client_id": "ada", "subject": "alice", "scope": "read"},
        http=_exchange,
        message=lambda given: auth_pb2.ExchangeTokenRequest(
            client_id=given["client_id"],
            client_secret=given["secret"],
            subject=given["subject"],
            scope=given["scope"],
        ),
        heard=lambda answer: [answer.json()[name] for name in _TOKEN],
        read=lambda one: [getattr(one, name) for name in _TOKEN],
        prepare=_front_end,
        variants={
            "scope": ("", "delete", "read write"),
            "secret": ("", "wrong"),
            "subject": ("", "é", "a/b", "a\nb", "x" * 257),
        },
    ),
    Operation(
        rest="POST /oauth/revoke",
        rpc="AuthService.RevokeToken",
        given={"client_id": "ada"},
        http=lambda given: _form(given, token=given["token"]),
        message=lambda given: auth_pb2.RevokeTokenRequest(
            client_id=given["client_id"], client_secret=given["secret"], token=given["token"]
        ),
        heard=lambda answer: answer.body.decode(),
        read=lambda _: "",
        prepare=_lost_token,
        variants={"secret": ("", "wrong"), "token": ("", "x.y.z", "ü", "x" * 5_000)},
    ),
    Operation(
        rest="GET /entity/{database}",
        rpc="EntityService.GetEntity",
        given=_ONE,
        http=lambda given: HttpRequest(
            {"key": given["key"]},
            headers={"If-None-Match": f'"{given["known"]}"'} if "known" in given else {},
        ),
        message=lambda given: entity_pb2.GetEntityRequest(
            database=given["database"],
            key=given["key"],
            if_none_match_version=given.get("known", 0),
        ),
        heard=_found,
        read=_entity,
        prepare=stored,
        variants={"known": (1, 2)},
    ),
    Operation(
        rest="GET /entity/{database}",
        rpc="EntityService.BatchGetEntities",
        given={"database": DATABASE, "several": ["a", "b", "absent"]},
        http=lambda given: HttpRequest({"key": given["several"]}),
        message=lambda given: entity_pb2.BatchGetEntitiesRequest(
            database=given["database"], keys=given["several"]
        ),
        heard=Answer.json,
        read=lambda response: _mapping(response.entities),
        prepare=stored,
        variants={"several": (["a", ""], ["a", "k" * 513], [f"k{n}" for n in range(101)])},
    ),
    Operation(
        rest="GET /entity/{database}",
        rpc="EntityService.ListEntities",
        given=_PAGE,
        http=lambda given: HttpRequest(
            {name: given[name] for name in ("limit", "cursor", "prefix", "select") if given[name]}
        ),
        message=_list_request,
        heard=_paged,
        read=lambda page: [_mapping(page.entities), bool(page.next_page_token)],
        prepare=stored,
    ),
    Operation(
        rest="POST /entity/{database}/query",
        rpc="EntityService.ListEntities",
        given=_PAGE | {"filter": "n"},
        http=lambda given: HttpRequest(
            {}, {name: value for name, value in given.items() if name != "database"}
        ),
        message=_list_request,
        heard=Answer.json,
        read=lambda page: (
            {
                "items": [
                    {
                        "key": one.key,
                        "version": one.metadata.version,
                        "entity": json.loads(one.document),
                    }
                    for one in page.entities
                ],
                "examined": page.examined,
            }
            | ({"cursor": page.next_page_token} if page.next_page_token else {})
        ),
        prepare=stored,
    ),
    Operation(
        rest="PUT /entity/{database}",
        rpc="EntityService.PutEntity",
        given=_ONE | _WRITE | {"ttl_seconds": 0},
        http=lambda given: _asked_to_put({**given, "keys": [given["key"]]}),
        message=lambda given: entity_pb2.PutEntityRequest(
            database=given["database"],
            key=given["key"],
            document=b"1",
            request_id=given["request_id"],
            ttl_seconds=given["ttl_seconds"],
            **_demanded(given),
        ),
        heard=_written,
        read=_put_response,
        prepare=stored,
        variants=_CONDITIONS | {"key": ("new",)},
    ),
    Operation(
        rest="PUT /entity/{database}",
        rpc="EntityService.BatchPutEntities",
        given={"database": DATABASE, "keys": ["a", "new"], "ttl_seconds": 0} | _WRITE,
        http=_asked_to_put,
        message=lambda given: entity_pb2.BatchPutEntitiesRequest(
            database=given["database"],
            entities=_documents(given),
            request_id=given["request_id"],
            ttl_seconds=given["ttl_seconds"],
        ),
        heard=Answer.json,
        read=lambda response: {
            key: told for one in response.results for key, told in _put_response(one)[0].items()
        },
        prepare=stored,
    ),
    Operation(
        rest="PUT /entity/{database}",
        rpc="EntityService.ValidateEntities",
        given={"database": DATABASE, "keys": ["a", "new"]},
        http=lambda given: HttpRequest({"dry_run": "true"}, dict.fromkeys(given["keys"], 1)),
        message=lambda given: entity_pb2.ValidateEntitiesRequest(
            database=given["database"], entities=_documents(given)
        ),
        heard=_verdicts_over_rest,
        read=_verdicts,
        prepare=stored,
    ),
    Operation(
        rest="PATCH /entity/{database}",
        rpc="EntityService.PatchEntity",
        given=_ONE | _WRITE | {"patch": b'{"m":1}'},
        **_patch_request("merge_patch"),
        heard=_written,
        read=_put_response,
        prepare=stored,
        variants=_CONDITIONS | _TRIAL,
    ),
    Operation(
        rest="PATCH /entity/{database}",
        rpc="EntityService.PatchEntity",
        given=_ONE | _WRITE | {"patch": b"[]"},
        **_patch_request("json_patch"),
        heard=_written,
        read=_put_response,
        prepare=stored,
        variants=_CONDITIONS | _TRIAL,
    ),
    Operation(
        rest="POST /entity/{database}/transform",
        rpc="EntityService.TransformEntity",
        given=_ONE | {"expression": "n"},
        http=lambda given: HttpRequest(
            {}, {"key": given["key"], "expression": given["expression"]}
        ),
        message=lambda given: entity_pb2.TransformEntityRequest(**given),
        heard=_found,
        read=_entity,
        prepare=stored,
    ),
    Operation(
        rest="POST /entity/{database}/transform",
        rpc="EntityService.StoreTransformedEntity",
        given=_ONE | _WRITE | {"expression": "n"},
        http=lambda given: HttpRequest(
            _trial(given),
            {"key": given["key"], "expression": given["expression"], "store": True},
            _write_headers(given),
        ),
        message=lambda given: entity_pb2.TransformEntityRequest(
            database=given["database"],
            key=given["key"],
            expression=given["expression"],
            request_id=given["request_id"],
            **_demanded(given),
        ),
        heard=_written,
        read=_put_response,
        prepare=stored,
        variants=_CONDITIONS | _TRIAL,
    ),
    Operation(
        rest="DELETE /entity/{database}",
        rpc="EntityService.DeleteEntity",
        given=_ONE | _WRITE,
        http=lambda given: HttpRequest(
            {"key": given["key"], **_trial(given)}, headers=_write_headers(given)
        ),
        message=lambda given: entity_pb2.DeleteEntityRequest(
            database=given["database"],
            key=given["key"],
            request_id=given["request_id"],
            **_demanded(given),
        ),
        heard=lambda answer: answer.status,
        read=lambda _: 204,
        prepare=stored,
        variants=_CONDITIONS | _TRIAL,
    ),
    Operation(
        rest="DELETE /entity/{database}",
        rpc="EntityService.BatchDeleteEntities",
        given={"database": DATABASE, "several": ["a", "b", "absent"], **_WRITE},
        http=lambda given: HttpRequest(
            {"key": given["several"], **_trial(given)}, headers=_write_headers(given)
        ),
        message=lambda given: entity_pb2.BatchDeleteEntitiesRequest(
            database=given["database"],
            keys=given["several"],
            request_id=given["request_id"],
            validate_only=given.get("dry_run", False),
        ),
        heard=Answer.json,
        read=lambda response: {one.key: _deleted(one) for one in response.results},
        prepare=stored,
        variants={
            "several": (["a", ""], ["a", "k" * 513], [f"k{n}" for n in range(101)]),
            "dry_run": (True,),
        },
    ),
)
