"""`strongroom verify`: read everything that is stored, and tell what is not as it should be."""

import sys
from collections.abc import Sequence

from cli.output import as_json
from cli.output import told as members
from cli.progress import Bar
from cli.session import session
from strongroom_client.oversight import Finding


def run(*, repair: bool, json: bool, profile: str | None) -> bool:
    """Verify a deployment; tell whether all is well, or was put right."""
    findings: list[Finding] = []
    examined = 0
    with session(profile) as client, Bar("verifying") as bar:
        for part in client.admin.verify(repair=repair):
            findings += part.findings
            examined += part.examined
            if not json:
                _print(part.findings)
            told = f"{examined:,} entities, {examined / bar.elapsed_s:,.0f}/s"
            bar.count(part.done, part.total)
            bar.tell(f"{told}, {len(findings)} findings")
    left = [found for found in findings if not found.repaired]
    if json:
        shown = [members(one) for one in findings]
        as_json({"examined": examined, "findings": shown, "ok": not left})
    else:
        sys.stdout.write(_summary(examined, findings, left, repair=repair) + "\n")
    return not left


def _print(findings: Sequence[Finding]) -> None:
    for found in findings:
        done = " (repaired)" if found.repaired else ""
        sys.stdout.write(f"{found.condition:8}  {found.path}: {found.reason}{done}\n")


def _summary(examined: int, findings: list[Finding], left: list[Finding], *, repair: bool) -> str:
    if not findings:
        return f"{examined} entities: all is as it should be"
    repaired = len(findings) - len(left)
    told = f"{examined} entities, {len(findings)} findings, {repaired} of them repaired"
    mendable = any(found.condition in {"stale", "orphaned"} for found in left)
    return told + ("; try --repair" if mendable and not repair else "")
