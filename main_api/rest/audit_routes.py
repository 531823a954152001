"""The paths of the audit log."""

from typing import Annotated, Final

import msgspec
from chalice.app import Response

from main_api.domain.audit.records import Record
from main_api.rest.answers import json_response
from main_api.rest.application import StrongroomApp
from main_api.rest.operations import (
    AN_INSTANT,
    Answer,
    Count,
    Limit,
    Operation,
    Right,
    Tag,
    Time,
    json_content,
)
from main_api.rest.public_keys import Jwk, JwkSet, jwk
from main_api.rest.requests import decoded, json_body, optional_body
from main_api.service.audit.reading import AuditPage, Placed
from strongroom import jsontext, limits
from strongroom.clock import rfc3339

AuditCursor = Annotated[
    str,
    msgspec.Meta(
        max_length=limits.AUDIT_CURSOR_CHARS_MAX,
        description="What the page before has answered; empty for the newest records.",
    ),
]


class RecordsBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to go on, and how many records at the most."""

    cursor: AuditCursor = ""
    limit: Limit = limits.PAGE_SIZE


class RemovalBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Since when nothing was written to what is removed."""

    before: Time


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who did what to what, when, and how it ended; a member that does not apply is left out."""

    record_id: str
    at: Time
    act: str
    intent: Annotated[
        bool, msgspec.Meta(description="It is about to take effect; see the same `entry`.")
    ] = False
    outcome: Annotated[str, msgspec.Meta(description="`ok`, or the code of an error.")] = ""
    face: Annotated[
        str, msgspec.Meta(description="`rest`, `grpc`, `workers`, `main` or `command`.")
    ] = ""
    client: str = ""
    subject: str = ""
    worker: str = ""
    claimed: Annotated[
        str, msgspec.Meta(description="Whom somebody has claimed to be, and not proven.")
    ] = ""
    address: str = ""
    database: str = ""
    keys: Annotated[
        tuple[str, ...], msgspec.Meta(description="The file-ids of the entities, in hex.")
    ] = ()
    target: dict[str, str] = {}
    detail: dict[str, str] = {}
    request_id: str = ""
    entry: Annotated[str, msgspec.Meta(description="Ties intent and outcome together.")] = ""
    count: Annotated[int, msgspec.Meta(description="How many of its kind it stands for.")] = 1
    until: str = ""


class AuditRecords(msgspec.Struct, frozen=True, kw_only=True):
    """Records, the oldest first, and where to go on; there may always be more later."""

    records: list[AuditRecord]
    cursor: AuditCursor
    damaged: Annotated[
        Count | msgspec.UnsetType,
        msgspec.Meta(description="Blocks that did not open; `strongroom audit verify` says more."),
    ] = msgspec.UNSET


class AuditHead(msgspec.Struct, frozen=True, kw_only=True):
    """How far a chain has come."""

    chain: str
    block: Count
    at: Time
    head: str


class AuditHeads(msgspec.Struct, frozen=True, kw_only=True):
    """How far the chains have come that may still grow, or have ended lately."""

    heads: list[AuditHead]


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed."""

    segments: Count
    before: Time


_CHAIN: Final = "01a3185c500000112233445566ff"
_RECORD: Final = AuditRecord(
    record_id=f"{_CHAIN}/7/0",
    at=AN_INSTANT,
    act="put_client",
    outcome="ok",
    face="rest",
    client="admin",
    address="192.0.2.1",
    target={"client_id": "front-end"},
    detail={"grants": "chatdb: read, write"},
    request_id="189f64e23614696987f9e2dab67c6d46",
    entry="01a20bc764d706a5",
)
_RECORDS: Final = AuditRecords(records=[_RECORD], cursor="AbCd")
_HEADS: Final = AuditHeads(
    heads=[AuditHead(chain=_CHAIN, block=7, at=AN_INSTANT, head="5d493f806a8e0236" * 4)]
)


def add(app: StrongroomApp) -> None:
    """Register the paths."""
    _add_records(app)
    _add_proofs(app)
    _add_removal(app)


def _add_records(app: StrongroomApp) -> None:
    @app.route(
        "/audit/records",
        methods=["POST"],
        operation=Operation(
            tag=Tag.AUDIT,
            rights=(Right.EVERYWHERE,),
            body=json_content(RecordsBody, RecordsBody()),
            body_optional=True,
            answers=(Answer(200, "A page.", json_content(AuditRecords, _RECORDS)),),
        ),
    )
    def list_audit_records() -> Response:
        """Answer the newest records of the audit log, or what has come since a page.

        There is always a cursor to go on with: asked again later, it answers what was recorded
        meanwhile.
        """
        asked = optional_body(app.request, RecordsBody)
        found = app.main.audit_reading.page(app.caller, asked.cursor, asked.limit)
        return json_response(jsontext.dump(_page(found)))


def _add_proofs(app: StrongroomApp) -> None:
    @app.route(
        "/audit/heads",
        methods=["GET"],
        operation=Operation(
            tag=Tag.AUDIT,
            rights=(Right.EVERYWHERE,),
            answers=(Answer(200, "The heads.", json_content(AuditHeads, _HEADS)),),
        ),
    )
    def list_audit_heads() -> Response:
        """Answer how far the chains of the audit log have come.

        Keep it elsewhere: it shows whether the end of the log was cut off since.
        """
        heads = app.main.audit_reading.heads(app.caller)
        shown = [
            AuditHead(
                chain=one.chain, block=one.block, at=rfc3339(one.at_ms), head=one.digest.hex()
            )
            for one in heads
        ]
        return json_response(jsontext.dump(AuditHeads(heads=shown)))

    @app.route(
        "/audit/keys",
        methods=["GET"],
        operation=Operation(
            tag=Tag.AUDIT,
            rights=(Right.EVERYWHERE,),
            answers=(Answer(200, "The keys.", json_content(JwkSet, _KEYS)),),
        ),
    )
    def list_audit_keys() -> Response:
        """Answer the public keys that verify the audit log, as JWKs (RFC 8037)."""
        found = app.main.audit_reading.public_keys(app.caller)
        shown = [jwk(key_id, key) for key_id, key in found.items()]
        return json_response(jsontext.dump(JwkSet(keys=shown)))


def _add_removal(app: StrongroomApp) -> None:
    @app.route(
        "/audit/remove",
        methods=["POST"],
        operation=Operation(
            tag=Tag.AUDIT,
            rights=(Right.EVERYWHERE,),
            body=json_content(RemovalBody, RemovalBody(before=AN_INSTANT)),
            answers=(
                Answer(
                    200,
                    "It is done.",
                    json_content(Removal, Removal(segments=12, before=AN_INSTANT)),
                ),
            ),
        ),
    )
    def remove_audit_segments() -> Response:
        """Remove the segments of the audit log in which nothing was written since an instant.

        The instant is at least a day ago. That it was done, and of which time, stays in the log.
        """
        body = decoded(json_body(app.request), RemovalBody)
        done = app.main.audit_removal.remove(app.caller, body.before)
        return json_response(jsontext.dump(Removal(segments=done.segments, before=done.before)))


_KEYS: Final = JwkSet(
    keys=[Jwk(x="11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", kid="4338abd0257bc0e8")]
)


def _page(found: AuditPage) -> AuditRecords:
    return AuditRecords(
        records=[_record(one) for one in found.records],
        cursor=found.cursor,
        damaged=found.damaged or msgspec.UNSET,
    )


def _record(placed: Placed) -> AuditRecord:
    one: Record = placed.record
    detail = {name: str(value) for name, value in one.detail.items()}
    members = {name: getattr(one, name) for name in one.__struct_fields__}
    return AuditRecord(record_id=placed.record_id, **{**members, "detail": detail})
