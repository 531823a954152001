"""`strongroom verify`: read everything that is stored, and tell what is not as it should be."""

import sys
import time
from collections.abc import Iterator

import msgspec

from cli.access import Deployment
from cli.progress import Bar
from strongroom import jsontext


class _Finding(msgspec.Struct):
    path: str
    condition: str
    reason: str
    repaired: bool


class _Progress(msgspec.Struct):
    done: int
    total: int


class _Page(msgspec.Struct):
    findings: list[_Finding]
    examined: int
    progress: _Progress
    cursor: str = ""


def run(*, repair: bool, json: bool) -> bool:
    """Verify a deployment; tell whether all is well, or was put right.

    Raises:
        InvalidArgumentError: The environment names no deployment.
        ForbiddenError, UnavailableError: It cannot be verified.
    """
    deployment = Deployment(time.sleep)
    findings: list[_Finding] = []
    examined = 0
    with Bar("verifying") as bar:
        for page in _pages(deployment, repair=repair):
            findings += page.findings
            examined += page.examined
            if not json:
                _print(page.findings)
            told = f"{examined:,} entities, {examined / bar.elapsed_s:,.0f}/s"
            bar.count(page.progress.done, page.progress.total)
            bar.tell(f"{told}, {len(findings)} findings")
    left = [found for found in findings if not found.repaired]
    if json:
        answer = {"examined": examined, "findings": findings, "ok": not left}
        sys.stdout.write(jsontext.dump(answer).decode() + "\n")
    else:
        sys.stdout.write(_summary(examined, findings, left, repair=repair) + "\n")
    return not left


def _pages(deployment: Deployment, *, repair: bool) -> Iterator[_Page]:
    cursor = ""
    while True:
        body = jsontext.dump({"cursor": cursor, "repair": repair})
        page = deployment.post("/verify", body, _Page)
        yield page
        cursor = page.cursor
        if not cursor:
            return


def _print(findings: list[_Finding]) -> None:
    for found in findings:
        done = " (repaired)" if found.repaired else ""
        sys.stdout.write(f"{found.condition:8}  {found.path}: {found.reason}{done}\n")


def _summary(examined: int, findings: list[_Finding], left: list[_Finding], *, repair: bool) -> str:
    if not findings:
        return f"{examined} entities: all is as it should be"
    repaired = len(findings) - len(left)
    told = f"{examined} entities, {len(findings)} findings, {repaired} of them repaired"
    mendable = any(found.condition in {"stale", "orphaned"} for found in left)
    return told + ("; try --repair" if mendable and not repair else "")
