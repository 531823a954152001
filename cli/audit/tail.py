"""`strongroom audit tail`: the newest records, and what comes after them."""

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from cli.output import as_json, line, printable
from cli.session import session
from strongroom import limits
from strongroom_client import Client, UnavailableError
from strongroom_client.oversight import AuditPage, AuditRecord

_EVERY_S: Final = 1.0


def run(
    *,
    lines: int,
    follow: bool,
    json: bool,
    profile: str | None,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Print records; with `follow`, until Ctrl-C.

    A deployment that does not answer is asked again while it is followed. No more than a page is in
    memory at a time.
    """
    with session(profile) as client:
        newest = client.admin.audit_page(page_size=lines)
        _print(newest, json=json)
        cursor = newest.cursor
        try:
            while follow:
                pause(_EVERY_S)
                for page in _since(client, cursor):
                    _print(page, json=json)
                    cursor = page.cursor
        except KeyboardInterrupt:
            # That is how a watch ends; nothing was left undone.
            return


def _since(client: Client, cursor: str) -> Iterator[AuditPage]:
    try:
        yield from client.admin.audit_pages(cursor=cursor, page_size=limits.PAGE_SIZE_MAX)
    except UnavailableError as error:
        sys.stderr.write(f"strongroom: {printable(error.detail)}\n")


def _print(page: AuditPage, *, json: bool) -> None:
    for record in page.records:
        if json:
            as_json(_members(record))
        else:
            line(_shown(record))
    if page.damaged:
        sys.stderr.write(
            f"strongroom: {page.damaged} blocks do not open; see `strongroom audit verify`\n"
        )
    sys.stdout.flush()


def _members(record: AuditRecord) -> dict[str, Any]:
    """Return what applies of a record."""
    members: dict[str, Any] = msgspec.to_builtins(record)
    return {name: one for name, one in members.items() if one and (name, one) != ("count", 1)}


def _shown(one: AuditRecord) -> str:
    """Return a record on a line: when, who, from where, what, to what, how it ended."""
    who = one.client or one.worker or (f"({one.claimed}?)" if one.claimed else f"({one.face})")
    who += f"/{one.subject}" if one.subject else ""
    about = [one.database] if one.database else []
    about += [f"{name}={value}" for name, value in one.target.items()]
    about += [one.keys[0]] if len(one.keys) == 1 else [f"{len(one.keys)} keys"] * bool(one.keys)
    about += [f"[{name}: {value}]" for name, value in one.detail.items()]
    ended = "about to be done" if one.intent else one.outcome
    times = [f"{one.count} times"] if one.count > 1 else []
    return "  ".join([one.at, who, one.address or "-", one.act, *about, ended, *times])
