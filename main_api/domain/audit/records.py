"""A record of the audit log: who did what to what, when, and how it ended.

It holds no value of a document and no entity key: of an entity the file-id, the keyed hash that
names its files (design.md section 3). Texts that come from outside are cut to a bound each, so that
a record has one too.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from strongroom import jsontext, limits
from strongroom.errors import IntegrityError

OK: Final = "ok"
"""The outcome of what was done; of what was not, it is the code of the error."""
_CUT: Final = "…"


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One record; a line of JSON, members that are empty left out.

    Attributes:
        at: RFC 3339, in UTC with milliseconds.
        act: What was done.
        intent: It is about to take effect; the record of its outcome has the same `entry`.
        outcome: `OK`, or the code of an error; empty for an intent.
        face: How it came in: "rest", "grpc", "workers"; "main" for what a Main Worker does by
            itself, "command" for a command on the directory.
        client: The client that has proven itself.
        subject: The user that acts, where it is not the client itself.
        worker: The Processing Worker that has proven itself.
        claimed: The client or worker that somebody has claimed to be, and has not proven.
        address: The network that it came from.
        database: The database in question.
        keys: The file-ids of the entities in question.
        target: What else the act is about, by kind: {"client_id": "reader"}.
        detail: Facts about it.
        request_id: The request's, as clients and logs have it.
        entry: Ties intent and outcome together.
        count: How many of its kind the record stands for.
        until: When the last of them was; `at` is when the first was.
    """

    at: str
    act: str
    intent: bool = False
    outcome: str = ""
    face: str = ""
    client: str = ""
    subject: str = ""
    worker: str = ""
    claimed: str = ""
    address: str = ""
    database: str = ""
    keys: tuple[str, ...] = ()
    target: Mapping[str, str] = {}
    detail: Mapping[str, str | int] = {}
    request_id: str = ""
    entry: str = ""
    count: int = 1
    until: str = ""


def encode(record: Record) -> bytes:
    """Return a record's line, at most `limits.AUDIT_RECORD_BYTES_MAX` long."""
    bounded = _bounded(record)
    line = msgspec.json.encode(bounded)
    if len(line) > limits.AUDIT_RECORD_BYTES_MAX:
        # Four bytes a character, or texts of nothing but escapes: who wrote them meant no good.
        line = msgspec.json.encode(msgspec.structs.replace(bounded, target={}, detail={}))
    return line


def decode(line: bytes) -> Record:
    """Return the record of a line; members that this version does not know are left out.

    Raises:
        IntegrityError: It is no record.
    """
    try:
        return msgspec.json.decode(line, type=Record)
    except jsontext.UNREADABLE as error:
        raise IntegrityError("a record of the audit log cannot be read") from error


def cut(text: str, chars_max: int = limits.AUDIT_TEXT_CHARS_MAX) -> str:
    """Return a text of at most so many characters; what UTF-8 cannot carry is replaced."""
    shown = text if text.isascii() else text.encode(errors="replace").decode()
    return shown if len(shown) <= chars_max else shown[: chars_max - 1] + _CUT


def _bounded(record: Record) -> Record:
    detail = list(record.detail.items())[: limits.AUDIT_DETAIL_MEMBERS_MAX]
    return msgspec.structs.replace(
        record,
        subject=cut(record.subject, limits.AUDIT_SUBJECT_CHARS_MAX),
        claimed=cut(record.claimed),
        address=cut(record.address),
        database=cut(record.database),
        request_id=cut(record.request_id),
        keys=record.keys[: limits.ENTITIES_PER_REQUEST_MAX],
        target={name: cut(text) for name, text in record.target.items()},
        detail={name: _cut_detail(value) for name, value in detail},
    )


def _cut_detail(value: str | int) -> str | int:
    return cut(value, limits.AUDIT_DETAIL_CHARS_MAX) if isinstance(value, str) else value
