"""The path of looking through all that is stored."""

from typing import Final

import msgspec
from chalice.app import Response

from main_api.rest.answers import json_response
from main_api.rest.application import StrongroomApp
from main_api.rest.operations import Answer, Count, Cursor, Operation, Right, Tag, json_content
from main_api.rest.requests import decoded, json_body
from main_api.service.workers.ports import Inspected
from strongroom import jsontext
from strongroom.finding import Condition


class VerifyBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to go on, and whether to put right what can be."""

    cursor: Cursor = ""
    repair: bool = False


class FindingMember(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is not as it should be."""

    path: str
    condition: Condition
    reason: str
    repaired: bool


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the whole has come."""

    done: Count
    total: Count


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What was found; without `cursor` all was looked at."""

    findings: list[FindingMember]
    examined: Count
    progress: Progress
    cursor: str | msgspec.UnsetType = msgspec.UNSET


_FOUND: Final = Verification(
    findings=[
        FindingMember(
            path="files/chatdb/bd/bda5fc8aac9dd9de.json.enc",
            condition=Condition.DAMAGED,
            reason="the blob does not open",
            repaired=False,
        )
    ],
    examined=2,
    progress=Progress(done=256, total=256),
)


def add(app: StrongroomApp) -> None:
    """Register the path."""

    @app.route(
        "/verify",
        methods=["POST"],
        operation=Operation(
            tag=Tag.SERVICE,
            rights=(Right.EVERYWHERE,),
            body=json_content(VerifyBody, VerifyBody()),
            answers=(Answer(200, "A part of it.", json_content(Verification, _FOUND)),),
        ),
    )
    def verify_files() -> Response:
        """Look at some of the files that are stored, and answer which are not as they should be."""
        body = decoded(json_body(app.request), VerifyBody)
        found = app.main.inspection.verify(app.caller, body.cursor, repair=body.repair)
        return json_response(jsontext.dump(_shown(found)))


def _shown(found: Inspected) -> Verification:
    return Verification(
        findings=[
            FindingMember(
                path=one.path, condition=one.condition, reason=one.reason, repaired=one.repaired
            )
            for one in found.findings
        ],
        examined=found.examined,
        progress=Progress(done=found.done, total=found.total),
        cursor=found.cursor or msgspec.UNSET,
    )
