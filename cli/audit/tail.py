"""`strongroom audit tail`: the newest records, and what comes after them."""

import sys
import time
from collections.abc import Callable
from typing import Final

import msgspec

from cli.access import Deployment
from cli.audit.answer import Page, Record
from cli.output import line, printable
from strongroom import jsontext, limits
from strongroom.errors import UnavailableError

_EVERY_S: Final = 1.0


def run(
    *, lines: int, follow: bool, json: bool, pause: Callable[[float], object] = time.sleep
) -> None:
    """Print records; with `follow`, until Ctrl-C.

    Raises:
        StrongroomError: As `Deployment.post`; a deployment that does not answer is asked again
            while it is followed.
    """
    deployment = Deployment(pause)
    try:
        page = _page(deployment, "", lines)
        _print(page, json=json)
        while follow:
            if len(page.records) < limits.PAGE_SIZE_MAX:
                pause(_EVERY_S)
            page = _next(deployment, page)
            _print(page, json=json)
    except KeyboardInterrupt:
        return


def _next(deployment: Deployment, before: Page) -> Page:
    try:
        return _page(deployment, before.cursor, limits.PAGE_SIZE_MAX)
    except UnavailableError as error:
        sys.stderr.write(f"strongroom: {printable(error.detail)}\n")
        return Page([], before.cursor)


def _page(deployment: Deployment, cursor: str, limit: int) -> Page:
    body = jsontext.dump({"cursor": cursor, "limit": limit})
    return deployment.post("/audit/records", body, Page)


def _print(page: Page, *, json: bool) -> None:
    for raw in page.records:
        if json:
            sys.stdout.write(bytes(raw).decode() + "\n")
        else:
            line(_shown(msgspec.json.decode(raw, type=Record)))
    if page.damaged:
        sys.stderr.write(
            f"strongroom: {page.damaged} blocks do not open; see `strongroom audit verify`\n"
        )
    sys.stdout.flush()


def _shown(one: Record) -> str:
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
