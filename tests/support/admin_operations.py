"""The operations of administrators, as each face has them."""

import json
from collections.abc import Callable
from typing import Any, Final

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from main_api.domain.grants import Action
from main_api.domain.trusted_issuers import TrustedIssuer
from main_api.rest.public_keys import jwk
from strongroom.rpc import status
from strongroom_pb.v1 import admin_pb2 as pb
from tests.support.entity_operations import DATABASE, stored
from tests.support.faces import Given, HttpRequest, Operation
from tests.support.foreign_issuers import MemoryIssuers, jwks, signing_key
from tests.support.mains import MainRig, grant
from tests.support.wsgi import Answer

SCHEMA: Final = b'{"maxProperties": 0}'
_PAGE: Final = {"limit": 1, "cursor": ""}
_ISSUER_KEY: Final = signing_key()
_CHAT_GRANTS: Final = [{"database": "chatdb", "actions": ["read"], "key_prefix": "{sub}/"}]
_TRUSTED: Final[dict[str, Any]] = {
    "issuer": "https://login.example",
    "audiences": ["chat"],
    "rules": [{"claims": {"groups": ["chat", 7, True]}, "grants": _CHAT_GRANTS}],
    "algorithms": ["ES256"],
    "audience_claim": "aud",
    "token_type": "at+jwt",
    "token_seconds_max": 600,
    "jwks_uri": "",
    "ca_certificates": "",
}
_TOLD: Final = ("issuer", "audiences", "rules")
_PURPOSES: Final[dict[str, Any]] = {
    "data": pb.KEY_PURPOSE_DATA,
    "token-signing": pb.KEY_PURPOSE_TOKEN_SIGNING,
}
_ACTIONS: Final = {
    "read": pb.ACTION_READ,
    "write": pb.ACTION_WRITE,
    "delete": pb.ACTION_DELETE,
    "admin": pb.ACTION_ADMIN,
}
_ENUMS: Final = ("ACTION_", "KEY_STATE_", "JOB_KIND_", "JOB_STATE_", "JOB_PHASE_")


def _plain(message: Message) -> Any:  # noqa: ANN401 - JSON
    """Return a message as REST would say it: what is not set is not there."""
    told = MessageToDict(message, preserving_proto_field_name=True)
    return _words(told, message.DESCRIPTOR)


def _words(told: dict[str, Any], kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a descriptor
    """Return its members; an id of digits alone is none of the numbers, which are text as well."""
    return {name: _worded(value, kind.fields_by_name.get(name)) for name, value in told.items()}


def _worded(value: Any, field: FieldDescriptor | None) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        return [_worded(member, field) for member in value]
    if field is None:  # what an Any holds
        return value
    kind = field.message_type
    if kind is None or not isinstance(value, dict):
        return _scalar(value, field)
    if kind.GetOptions().map_entry:
        members = kind.fields_by_name["value"]
        return {name: _worded(member, members) for name, member in value.items()}
    return _words(value, kind)


def _scalar(value: Any, field: FieldDescriptor) -> Any:  # noqa: ANN401 - JSON
    if field.cpp_type in {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}:
        return int(value)  # text in protobuf's JSON
    if field.enum_type is None:
        return value
    prefix = next(one for one in _ENUMS if value.startswith(one))
    return value.removeprefix(prefix).lower().replace("_", "-")


def _bare(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return what REST says without what a message does not say: zeros, empty texts and lists."""
    if isinstance(value, dict):
        members = {name: _bare(member) for name, member in value.items()}
        return {name: member for name, member in members.items() if member not in _UNSAID}
    if isinstance(value, list):
        return [_bare(member) for member in value]
    return value


_UNSAID: Final[tuple[Any, ...]] = (0, "", [], None, {}, False)


def _heard(answer: Answer) -> Any:  # noqa: ANN401 - JSON
    return _bare(answer.json()) if answer.body else "nothing"


def _read(message: Message) -> Any:  # noqa: ANN401 - JSON
    told = _bare(_plain(message))
    return told or ("nothing" if not message.DESCRIPTOR.fields else {})


def _worker(one: pb.Worker) -> dict[str, Any]:
    told: dict[str, Any] = _read(one)
    told.pop("draining", None)
    return told | {
        "state": "draining" if one.draining else "live",
        "load": one.load,
        "cache_entries": one.cache_entries,
        "cache_bytes": one.cache_bytes,
        "version": one.version,
    }


def _nothing_asked(given: Given) -> HttpRequest:
    del given
    return HttpRequest()


def _page_asked(given: Given) -> HttpRequest:
    return HttpRequest({name: given[name] for name in ("limit", "cursor") if given[name]})


def _listing(kind: type[Message]) -> Callable[[Given], Message]:
    return lambda given: kind(page_size=given["limit"], page_token=given["cursor"])


def _renamed(**names: str) -> Callable[[Message], Any]:
    """Return what says a message, with members under the names that they have over REST."""

    def read(message: Message) -> Any:  # noqa: ANN401 - JSON
        return {names.get(name, name): value for name, value in _read(message).items()}

    return read


def _created(member: str) -> Callable[[Any], Any]:
    """Return what says the answer to a put: what was made, and whether it is new."""

    def read(message: Any) -> Any:  # noqa: ANN401 - JSON
        told = _read(message)
        return [told.get("created", False), told[member] | _beside(told, member)]

    return read


def _beside(told: dict[str, Any], member: str) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name not in {member, "created"}}


def _created_over_rest(answer: Answer) -> Any:  # noqa: ANN401 - JSON
    return [answer.status == 201, _heard(answer)]


def _templates(rig: MainRig) -> Given:
    for name in ("chat.v1", "other.v1"):
        rig.provisioning.put_template(name, b"{}")
    return {}


def _databases(rig: MainRig) -> Given:
    _templates(rig)
    rig.provisioning.put_database("other", "other.v1")
    return {}


def _unbound(rig: MainRig) -> Given:
    _databases(rig)
    rig.provisioning.put_database(DATABASE, "other.v1")
    return {}


def _clients(rig: MainRig) -> Given:
    rig.add_client("ada")
    return {}


def _front_end(rig: MainRig) -> Given:
    theirs = (
        grant("otherdb", Action.READ),
        grant(DATABASE, Action.WRITE, key_prefix="users/{sub}/"),
        grant(DATABASE, Action.READ, key_prefix="users/{sub}/"),
    )
    rig.add_front_end("ada", (grant("*", *Action),), theirs)
    return {}


def _issuers(rig: MainRig) -> Given:
    asked = rig.issuers
    assert isinstance(asked, MemoryIssuers)
    asked.published["https://login.example"] = jwks(_ISSUER_KEY, {"kty": "oct", "kid": "k"})
    caller = rig.caller(client_id="truster")
    for name in ("login", "other"):
        said = {**_TRUSTED, "issuer": f"https://{name}.example"}
        rig.main().issuers.put(caller, name, msgspec.convert(said, TrustedIssuer))
    return {}


def _said(given: Given) -> dict[str, Any]:
    return {name: given[name] for name in _TRUSTED if given[name] or name in _TOLD}


def _trusted(given: Given) -> pb.TrustedIssuer:
    rules = [
        pb.ClaimRule(
            claims=[
                pb.ClaimCondition(claim=name, values=map(_claim_value, values))
                for name, values in rule["claims"].items()
            ],
            grants=_grants(rule["grants"]),
        )
        for rule in given["rules"]
    ]
    return pb.TrustedIssuer(**{**{name: given[name] for name in _TRUSTED}, "rules": rules})


def _claim_value(value: Any) -> pb.ClaimValue:  # noqa: ANN401 - JSON
    kind = {str: "text", int: "number", bool: "flag"}[type(value)]
    return pb.ClaimValue(**{kind: value})


def _issuer(message: pb.Issuer) -> Any:  # noqa: ANN401 - JSON
    told = _read(message)
    told |= told.pop("trusted")
    for rule, read in zip(told.get("rules", []), message.trusted.rules, strict=True):
        rule["claims"] = {
            one.claim: [getattr(value, str(value.WhichOneof("kind"))) for value in one.values]
            for one in read.claims
        }
    return _sorted_actions(_bare(told))


def _rotated(rig: MainRig) -> Given:
    caller = rig.caller(client_id="rotator")
    rig.main().keys.rotate(caller)
    return {"key_id": rig.main().keys.list(caller)[0].key_id}


def _job(rig: MainRig) -> Given:
    _rotated(rig)
    return {"job_id": rig.main().jobs.rewrap(rig.caller(client_id="rewrapper")).job_id}


def _backups(rig: MainRig) -> Given:
    for name in ("monday", "tuesday"):
        rig.main().backups.record(rig.caller(client_id="keeper"), name)
    return {}


def _export(rig: MainRig) -> Given:
    made, _ = rig.main().exports.make(rig.caller(client_id="exporter"))
    return {"export_id": made.export_id}


def _revoked(rig: MainRig) -> Given:
    rig.administration.revoke_worker(rig.caller(client_id="revoker"), "worker-2", unseen=True)
    return {}


def _grants(given: list[dict[str, Any]]) -> list[pb.Grant]:
    return [
        pb.Grant(
            database=one["database"],
            actions=[pb.Action.Value(f"ACTION_{action.upper()}") for action in one["actions"]],
            key_prefix=one.get("key_prefix", ""),
        )
        for one in given
    ]


def _sorted_actions(told: Any) -> Any:  # noqa: ANN401 - JSON
    """Return what is told, with the actions of grants, which are a set, in one order."""
    if isinstance(told, dict):
        return {
            name: sorted(value) if name == "actions" else _sorted_actions(value)
            for name, value in told.items()
        }
    return [_sorted_actions(one) for one in told] if isinstance(told, list) else told


def _trial(response: pb.DryRunTemplateResponse) -> Any:  # noqa: ANN401 - JSON
    told = _renamed(next_page_token="cursor")(response)
    template = {name: told["template"][name] for name in ("schema_id", "schema_version")}
    refusals = []
    for one in response.refusals:
        refused = status.from_status(one.refusal)
        errors = [
            {"pointer": v.pointer, "keyword": v.keyword, "detail": v.detail}
            for v in refused.violations
        ]
        refusals.append(
            {
                "database": one.database,
                "key": one.key,
                "version": one.version,
                "detail": refused.detail,
                "errors": errors,
            }
        )
    told |= template | ({"refusals": refusals} if refusals else {})
    del told["template"]
    return told


def _job_id(job: pb.Job) -> Any:  # noqa: ANN401 - JSON
    return {"job_id": job.job_id}


def _exported(response: pb.ExportKeysResponse) -> Any:  # noqa: ANN401 - JSON
    return _read(response.export) | {"members": sorted(json.loads(response.keyring))}


def _exported_over_rest(answer: Answer) -> Any:  # noqa: ANN401 - JSON
    told = _heard(answer)
    return told | {"members": sorted(json.loads(told.pop("keyring")))}


def _verified_over_rest(answer: Answer) -> Any:  # noqa: ANN401 - JSON
    told = _heard(answer)
    return told | told.pop("progress")


TEMPLATES: Final = (
    Operation(
        rest="PUT /schemas/{schema_id}",
        rpc="AdminService.PutTemplate",
        given={"schema_id": "chat.v1", "schema": SCHEMA},
        http=lambda given: HttpRequest({}, given["schema"]),
        message=lambda given: pb.PutTemplateRequest(**given),
        heard=_created_over_rest,
        read=_created("template"),
        prepare=_templates,
        variants={"schema": (b"5", b'{"type": 5}', b"{", b'{"pattern": "("}')},
    ),
    Operation(
        rest="GET /schemas/{schema_id}",
        rpc="AdminService.GetTemplate",
        given={"schema_id": "chat.v1"},
        http=_nothing_asked,
        message=lambda given: pb.GetTemplateRequest(**given),
        heard=Answer.json,
        read=lambda one: _read(one) | {"schema": json.loads(one.schema)},
        prepare=_templates,
    ),
    Operation(
        rest="GET /schemas",
        rpc="AdminService.ListTemplates",
        given=_PAGE,
        http=_page_asked,
        message=_listing(pb.ListTemplatesRequest),
        heard=_heard,
        read=_renamed(templates="schemas", next_page_token="cursor"),
        prepare=_templates,
    ),
    Operation(
        rest="DELETE /schemas/{schema_id}",
        rpc="AdminService.DeleteTemplate",
        given={"schema_id": "chat.v1"},
        http=_nothing_asked,
        message=lambda given: pb.DeleteTemplateRequest(**given),
        heard=_heard,
        read=_read,
        prepare=_unbound,
        variants={"schema_id": ("other.v1",)},
    ),
    Operation(
        rest="PUT /schemas/{schema_id}",
        rpc="AdminService.DryRunTemplate",
        given={"schema_id": "chat.v1", "schema": SCHEMA, "cursor": ""},
        http=lambda given: HttpRequest(
            {"dry_run": "true"} | ({"cursor": given["cursor"]} if given["cursor"] else {}),
            given["schema"],
        ),
        message=lambda given: pb.DryRunTemplateRequest(
            schema_id=given["schema_id"], schema=given["schema"], page_token=given["cursor"]
        ),
        heard=_heard,
        read=_trial,
        prepare=stored,
        variants={"schema": (b"5", b"{"), "cursor": ("eA==", "W10=")},
    ),
)

DATABASES: Final = (
    Operation(
        rest="PUT /databases/{database}",
        rpc="AdminService.PutDatabase",
        given={"database": DATABASE, "schema_id": "other.v1", "ttl_seconds": 60},
        http=lambda given: HttpRequest(
            {}, {name: given[name] for name in ("schema_id", "ttl_seconds") if given[name]}
        ),
        message=lambda given: pb.PutDatabaseRequest(**given),
        heard=_created_over_rest,
        read=_created("database"),
        prepare=_databases,
        variants={"database": ("new",)},
    ),
    Operation(
        rest="GET /databases/{database}",
        rpc="AdminService.GetDatabase",
        given={"database": DATABASE},
        http=_nothing_asked,
        message=lambda given: pb.GetDatabaseRequest(**given),
        heard=_heard,
        read=_read,
    ),
    Operation(
        rest="GET /databases",
        rpc="AdminService.ListDatabases",
        given=_PAGE,
        http=_page_asked,
        message=_listing(pb.ListDatabasesRequest),
        heard=_heard,
        read=_renamed(next_page_token="cursor"),
        prepare=_databases,
    ),
    Operation(
        rest="DELETE /databases/{database}",
        rpc="AdminService.DeleteDatabase",
        given={"database": DATABASE},
        http=_nothing_asked,
        message=lambda given: pb.DeleteDatabaseRequest(**given),
        heard=_heard,
        read=_read,
    ),
)

CLIENTS: Final = (
    Operation(
        rest="PUT /clients/{client_id}",
        rpc="AdminService.PutClient",
        given={
            "client_id": "ada",
            "grants": [{"database": "chat*", "actions": ["read", "write"], "key_prefix": "a/"}],
        },
        http=lambda given: HttpRequest(
            {}, {name: given[name] for name in ("grants", "user_grants") if name in given}
        ),
        message=lambda given: pb.PutClientRequest(
            client_id=given["client_id"],
            grants=_grants(given["grants"]),
            user_grants=_grants(given.get("user_grants", [])),
        ),
        heard=lambda answer: _sorted_actions(_created_over_rest(answer)),
        read=lambda one: _sorted_actions(_created("client")(one)),
        prepare=_clients,
        variants={
            "client_id": ("new",),
            "grants": (
                [],
                [{"database": "-bad", "actions": ["read"]}],
                [{"database": "*", "actions": ["read"], "key_prefix": "{sub}"}],
                [{"database": "*", "actions": ["read"], "key_prefix": "k" * 600}],
                [{"database": "*", "actions": ["read"]}] * 101,
            ),
            "user_grants": (
                [],
                [{"database": "chatdb", "actions": ["read"], "key_prefix": "a/{sub}/"}],
                [{"database": "chatdb", "actions": ["read"], "key_prefix": "{sub}/"}],
                [{"database": "chatdb", "actions": ["admin"], "key_prefix": "a/"}],
                [{"database": "chatdb", "actions": ["read"], "key_prefix": "a/{sub}"}],
                [{"database": "chatdb", "actions": ["read"], "key_prefix": "a/"}] * 101,
            ),
        },
    ),
    Operation(
        rest="GET /clients/{client_id}",
        rpc="AdminService.GetClient",
        given={"client_id": "ada"},
        http=_nothing_asked,
        message=lambda given: pb.GetClientRequest(**given),
        heard=lambda answer: _sorted_actions(_heard(answer)),
        read=lambda one: _sorted_actions(_read(one)),
        prepare=_clients,
    ),
    Operation(
        rest="GET /clients",
        rpc="AdminService.ListClients",
        given=_PAGE,
        http=_page_asked,
        message=_listing(pb.ListClientsRequest),
        heard=lambda answer: _sorted_actions(_heard(answer)),
        read=lambda page: _sorted_actions(_renamed(next_page_token="cursor")(page)),
        prepare=_clients,
    ),
    Operation(
        rest="DELETE /clients/{client_id}",
        rpc="AdminService.DeleteClient",
        given={"client_id": "ada"},
        http=_nothing_asked,
        message=lambda given: pb.DeleteClientRequest(**given),
        heard=_heard,
        read=_read,
        prepare=_clients,
    ),
    Operation(
        rest="POST /clients/{client_id}/rotate-secret",
        rpc="AdminService.RotateClientSecret",
        given={"client_id": "ada"},
        http=lambda given: HttpRequest(
            {}, {name: given[name] for name in given if name == "overlap_seconds"} or None
        ),
        message=lambda given: pb.RotateClientSecretRequest(**given),
        heard=lambda answer: _sorted_actions(_heard(answer)),
        read=lambda one: _sorted_actions(_read(one.client) | {"client_secret": one.client_secret}),
        prepare=_clients,
        variants={"overlap_seconds": (0, 60, -1, 10**12)},
    ),
    Operation(
        rest="POST /clients/{client_id}/explain",
        rpc="AdminService.ExplainClient",
        given={"client_id": "ada", "database": DATABASE, "key": "users/al/1", "action": "read"},
        http=lambda given: HttpRequest(
            {},
            {name: given[name] for name in ("database", "key", "action", "sub") if name in given},
        ),
        message=lambda given: pb.ExplainClientRequest(
            client_id=given["client_id"],
            database=given["database"],
            key=given["key"],
            action=_ACTIONS.get(given["action"], pb.ACTION_UNSPECIFIED),
            subject=given.get("sub"),
        ),
        heard=lambda answer: _sorted_actions(_heard(answer)),
        read=lambda one: _sorted_actions(_read(one)),
        prepare=_front_end,
        variants={
            "key": ("users/al/2", "users/bob/1"),
            "action": ("write", "delete", "admin", "everything"),
            "sub": ("al", "bob", "", "a/b", "x" * 257),
        },
    ),
)

ISSUERS: Final = (
    Operation(
        rest="PUT /issuers/{issuer_name}",
        rpc="AdminService.PutIssuer",
        given={"issuer_name": "login", **_TRUSTED},
        http=lambda given: HttpRequest({}, _said(given)),
        message=lambda given: pb.PutIssuerRequest(
            name=given["issuer_name"], trusted=_trusted(given)
        ),
        heard=lambda answer: _sorted_actions(_created_over_rest(answer)),
        read=lambda response: [response.created, _issuer(response.issuer)],
        prepare=_issuers,
        variants={
            "issuer_name": ("new", "other", "-bad", "x" * 65),
            "issuer": ("", "http://a.example", "https://other.example", "x" * 600),
            "audiences": ([], ["a"] * 21, [""]),
            "algorithms": (["none"], ["HS256"], ["EdDSA", "PS512"]),
            "audience_claim": ("client_id", "azp"),
            "token_type": ("JWT", "id+jwt"),
            "token_seconds_max": (60, -1, 10**12),
            "jwks_uri": ("https://keys.example/", "ftp://keys.example/"),
            "ca_certificates": ("x" * 40_000,),
            "rules": (
                [],
                [{"claims": {}, "grants": [{"database": "*", "actions": ["admin"]}]}],
                [{"claims": {"a": []}, "grants": [{"database": "*", "actions": ["read"]}]}],
                [{"claims": {"": ["x"]}, "grants": [{"database": "*", "actions": ["read"]}]}],
                [{"claims": {"a": ["x"]}, "grants": []}],
                [{"claims": {"a": [1, True, "1"]}, "grants": [{"database": "-", "actions": []}]}],
                [{"claims": {"a": ["x" * 500] * 100}, "grants": _CHAT_GRANTS}] * 2,
                [{"claims": {"a": [2**60]}, "grants": _CHAT_GRANTS}],
            ),
        },
    ),
    Operation(
        rest="GET /issuers/{issuer_name}",
        rpc="AdminService.GetIssuer",
        given={"issuer_name": "login"},
        http=_nothing_asked,
        message=lambda given: pb.GetIssuerRequest(name=given["issuer_name"]),
        heard=lambda answer: _sorted_actions(_heard(answer)),
        read=_issuer,
        prepare=_issuers,
        variants={"issuer_name": ("absent", "-bad")},
    ),
    Operation(
        rest="GET /issuers",
        rpc="AdminService.ListIssuers",
        given={},
        http=_nothing_asked,
        message=lambda given: pb.ListIssuersRequest(**given),
        heard=lambda answer: _sorted_actions(_heard(answer)),
        read=lambda found: {"issuers": [_issuer(one) for one in found.issuers]},
        prepare=_issuers,
    ),
    Operation(
        rest="DELETE /issuers/{issuer_name}",
        rpc="AdminService.DeleteIssuer",
        given={"issuer_name": "login"},
        http=_nothing_asked,
        message=lambda given: pb.DeleteIssuerRequest(name=given["issuer_name"]),
        heard=_heard,
        read=_read,
        prepare=_issuers,
        variants={"issuer_name": ("absent", "-bad")},
    ),
    Operation(
        rest="POST /issuers/{issuer_name}/ask",
        rpc="AdminService.AskIssuer",
        given={"issuer_name": "login"},
        http=_nothing_asked,
        message=lambda given: pb.AskIssuerRequest(name=given["issuer_name"]),
        heard=_heard,
        read=_read,
        prepare=_issuers,
        variants={"issuer_name": ("other", "absent", "-bad")},
    ),
)

WORKERS: Final = (
    Operation(
        rest="GET /workers",
        rpc="AdminService.ListWorkers",
        given={},
        http=_nothing_asked,
        message=lambda _: pb.ListWorkersRequest(),
        heard=lambda answer: answer.json()["workers"],
        read=lambda page: [_worker(one) for one in page.workers],
    ),
    Operation(
        rest="GET /workers",
        rpc="AdminService.ListRevokedWorkers",
        given={},
        http=_nothing_asked,
        message=lambda _: pb.ListRevokedWorkersRequest(),
        heard=lambda answer: answer.json()["revoked"],
        read=lambda page: _read(page).get("workers", []),
        prepare=_revoked,
    ),
    Operation(
        rest="DELETE /workers/{worker_id}",
        rpc="AdminService.RevokeWorker",
        given={"worker_id": "worker-2", "unseen": False},
        http=lambda given: HttpRequest({"unseen": "true"} if given["unseen"] else {}),
        message=lambda given: pb.RevokeWorkerRequest(**given),
        heard=_heard,
        read=_read,
        variants={"unseen": (True,)},
    ),
    Operation(
        rest="POST /workers/{worker_id}/reinstate",
        rpc="AdminService.ReinstateWorker",
        given={"worker_id": "worker-2"},
        http=_nothing_asked,
        message=lambda given: pb.ReinstateWorkerRequest(**given),
        heard=_heard,
        read=_read,
        prepare=_revoked,
    ),
    Operation(
        rest="PUT /workers/{worker_id}",
        rpc="AdminService.PutWorkerCredential",
        given={"worker_id": "worker-1", "replace": False},
        http=lambda given: HttpRequest({"replace": "true"} if given["replace"] else {}),
        message=lambda given: pb.PutWorkerCredentialRequest(**given),
        heard=_created_over_rest,
        read=lambda one: [one.created, {k: v for k, v in _read(one).items() if k != "created"}],
        variants={"replace": (True,), "worker_id": ("worker-1",)},
    ),
    Operation(
        rest="POST /verify",
        rpc="AdminService.Verify",
        given={"cursor": "", "repair": False},
        http=lambda given: HttpRequest({}, dict(given)),
        message=lambda given: pb.VerifyRequest(page_token=given["cursor"], repair=given["repair"]),
        heard=_verified_over_rest,
        read=_renamed(next_page_token="cursor"),
        variants={"repair": (True,)},
    ),
)

KEYS: Final = (
    Operation(
        rest="GET /keys",
        rpc="AdminService.ListKeys",
        given={},
        http=_nothing_asked,
        message=lambda _: pb.ListKeysRequest(),
        heard=_heard,
        read=_read,
        prepare=_rotated,
    ),
    Operation(
        rest="POST /keys/rotate",
        rpc="AdminService.RotateKeys",
        given={"purpose": "data"},
        http=lambda given: HttpRequest({}, {"purpose": given["purpose"]}),
        message=lambda given: pb.RotateKeysRequest(purpose=_PURPOSES.get(given["purpose"], 99)),
        heard=_heard,
        read=_read,
        variants={"purpose": ("token-signing", "nothing")},
    ),
    Operation(
        rest="POST /keys/rewrap",
        rpc="AdminService.RewrapKeys",
        given={},
        http=lambda given: HttpRequest({}, dict(given) or None),
        message=lambda given: pb.RewrapKeysRequest(**given),
        heard=_heard,
        read=_job_id,
        variants={"files_per_second": (5, 0, -1, 1e9, 0.5)},
    ),
    Operation(
        rest="POST /keys/{key_id}/destroy",
        rpc="AdminService.DestroyKey",
        given={},
        http=lambda given: HttpRequest(
            {}, {name: given[name] for name in ("shred", "entities") if name in given} or None
        ),
        message=lambda given: pb.DestroyKeyRequest(**given),
        heard=_heard,
        read=_job_id,
        prepare=_rotated,
        variants={"shred": (True,), "entities": (0, -1)},
    ),
    Operation(
        rest="POST /keys/{key_id}/destroy",
        rpc="AdminService.DestroyKey",
        given={"shred": True, "entities": 3},
        http=lambda given: HttpRequest({}, {name: given[name] for name in ("shred", "entities")}),
        message=lambda given: pb.DestroyKeyRequest(**given),
        heard=_heard,
        read=_job_id,
        prepare=_rotated,
        variants={"entities": (0, -1, 2**60)},
    ),
    Operation(
        rest="POST /keys/export",
        rpc="AdminService.ExportKeys",
        given={},
        http=_nothing_asked,
        message=lambda given: pb.ExportKeysRequest(**given),
        heard=_exported_over_rest,
        read=_exported,
    ),
    Operation(
        rest="GET /keys/exports",
        rpc="AdminService.ListKeyExports",
        given={},
        http=_nothing_asked,
        message=lambda given: pb.ListKeyExportsRequest(**given),
        heard=_heard,
        read=_read,
        prepare=lambda rig: _export(rig) and {},
    ),
    Operation(
        rest="DELETE /keys/exports/{export_id}",
        rpc="AdminService.DeleteKeyExport",
        given={},
        http=_nothing_asked,
        message=lambda given: pb.DeleteKeyExportRequest(**given),
        heard=_heard,
        read=_read,
        prepare=_export,
    ),
)

JOBS: Final = (
    Operation(
        rest="GET /jobs/{job_id}",
        rpc="AdminService.GetJob",
        given={},
        http=_nothing_asked,
        message=lambda given: pb.GetJobRequest(job_id=given["job_id"]),
        heard=_heard,
        read=_read,
        prepare=_job,
    ),
    Operation(
        rest="GET /jobs",
        rpc="AdminService.ListJobs",
        given={},
        http=_nothing_asked,
        message=lambda _: pb.ListJobsRequest(),
        heard=_heard,
        read=_read,
        prepare=_job,
    ),
    Operation(
        rest="POST /jobs/{job_id}/cancel",
        rpc="AdminService.CancelJob",
        given={},
        http=_nothing_asked,
        message=lambda given: pb.CancelJobRequest(job_id=given["job_id"]),
        heard=_heard,
        read=_job_id,
        prepare=_job,
    ),
)

BACKUPS: Final = (
    Operation(
        rest="PUT /backups/{backup_id}",
        rpc="AdminService.CreateBackup",
        given={"backup_id": "wednesday"},
        http=_nothing_asked,
        message=lambda given: pb.CreateBackupRequest(**given),
        heard=_heard,
        read=_read,
        prepare=_backups,
        variants={"backup_id": ("monday",)},
    ),
    Operation(
        rest="GET /backups",
        rpc="AdminService.ListBackups",
        given={},
        http=_nothing_asked,
        message=lambda given: pb.ListBackupsRequest(**given),
        heard=_heard,
        read=_read,
        prepare=_backups,
    ),
    Operation(
        rest="DELETE /backups/{backup_id}",
        rpc="AdminService.DeleteBackup",
        given={"backup_id": "monday"},
        http=_nothing_asked,
        message=lambda given: pb.DeleteBackupRequest(**given),
        heard=_heard,
        read=_read,
        prepare=_backups,
    ),
)

AUDIT: Final = (
    Operation(
        rest="POST /audit/records",
        rpc="AdminService.ListAuditRecords",
        given={**_PAGE, "limit": 100},
        http=lambda given: HttpRequest({}, {name: given[name] for name in ("limit", "cursor")}),
        message=_listing(pb.ListAuditRecordsRequest),
        heard=lambda answer: _ended(answer.json()["records"]),
        read=lambda page: _ended([_read(one) for one in page.records]),
    ),
    Operation(
        rest="GET /audit/heads",
        rpc="AdminService.ListAuditHeads",
        given={},
        http=_nothing_asked,
        message=lambda _: pb.ListAuditHeadsRequest(),
        heard=lambda answer: [sorted(one) for one in answer.json()["heads"]],
        read=lambda page: [sorted(one) for one in _read(page).get("heads", [])],
    ),
    Operation(
        rest="GET /audit/keys",
        rpc="AdminService.ListAuditKeys",
        given={},
        http=_nothing_asked,
        message=lambda _: pb.ListAuditKeysRequest(),
        heard=lambda answer: [[one["kid"], one["x"]] for one in answer.json()["keys"]],
        read=lambda page: [[one.key_id, jwk("", one.public_key).x] for one in page.keys],
    ),
    Operation(
        rest="POST /audit/remove",
        rpc="AdminService.RemoveAuditSegments",
        given={"before": "2026-12-01T00:00:00.000Z"},
        http=lambda given: HttpRequest({}, {"before": given["before"]}),
        message=lambda given: pb.RemoveAuditSegmentsRequest(**given),
        heard=_heard,
        read=_read,
        variants={
            "before": ("", "x", "2026-12-01", "2026-12-01T00:00:00", "2096-01-01T00:00:00.000Z")
        },
    ),
)

OPERATIONS: Final = (
    *TEMPLATES,
    *DATABASES,
    *CLIENTS,
    *ISSUERS,
    *WORKERS,
    *KEYS,
    *JOBS,
    *BACKUPS,
    *AUDIT,
)


def _ended(found: list[dict[str, Any]]) -> Any:  # noqa: ANN401 - JSON
    """Return what of audit records is the same through both faces."""
    return sorted({(one["act"], one["outcome"]) for one in found if "outcome" in one})
