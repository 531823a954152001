"""`strongroom audit verify`: whether the audit log is as it was written."""

from pathlib import Path
from typing import Final

from cli.audit import proofs
from cli.output import as_json, line
from main_api.adapters.audit_files import AuditFiles
from main_api.domain.audit import verification
from main_api.domain.audit.verification import ChainState, Verdict
from strongroom.clock import rfc3339
from strongroom.durable import LocalFilesystem
from strongroom.errors import NotFoundError
from strongroom.jsontext import JsonValue
from strongroom.layout import Layout

_SUFFIX: Final = "*.audit"


def run(
    directory: Path,
    public_key: Path | None,
    heads: Path | None,
    *,
    json: bool,
    profile: str | None,
) -> bool:
    """Verify, print what was found, and tell whether nothing is wrong.

    Raises:
        NotFoundError: There is no audit log.
        InvalidArgumentError, UnavailableError, OSError: As `proofs` says.
    """
    place = _place(directory)
    kept = () if heads is None else proofs.read_heads(heads)
    keys = proofs.public_keys(public_key, profile)
    verdict = verification.verify(AuditFiles(LocalFilesystem(), place), keys, kept)
    if json:
        as_json(_as_json(verdict))
    else:
        _print(verdict, len(kept))
    return verdict.is_intact


def _place(directory: Path) -> Path:
    """Return where the segments are: below a shared directory, or in this one."""
    below = Layout(directory).audit()
    place = below if below.is_dir() else directory
    if not place.is_dir() or not any(place.glob(_SUFFIX)):
        raise NotFoundError(f"there is no audit log in {directory}, nor in {below}")
    return place


def _print(verdict: Verdict, kept: int) -> None:
    for state in verdict.chains:
        line(
            f"chain {state.head.chain}: {state.segments} segments, blocks {state.first} to"
            f" {state.head.block}, until {rfc3339(state.head.at_ms)}, {state.ending}"
        )
    for finding in verdict.findings:
        line(f"{'ALARM' if finding.is_alarm else 'note'}: {finding.place}: {finding.reason}")
    for state in verdict.chains:
        if state.head.block:
            line(proofs.shown(proofs.kept(state.head)))
    line(_summary(verdict, kept))


def _summary(verdict: Verdict, kept: int) -> str:
    alarms = sum(finding.is_alarm for finding in verdict.findings)
    if alarms:
        return f"{alarms} alarms: the audit log is not as it was written"
    compared = (
        f"compared with {kept} heads that were kept" if kept else "compared with no kept head"
    )
    blocks = sum(state.head.block - state.first + 1 for state in verdict.chains if state.head.block)
    return f"{len(verdict.chains)} chains, {blocks} blocks, {compared}: all is as it was written"


def _as_json(verdict: Verdict) -> JsonValue:
    return {
        "intact": verdict.is_intact,
        "chains": [_chain(state) for state in verdict.chains],
        "findings": [
            {"place": one.place, "reason": one.reason, "alarm": one.is_alarm}
            for one in verdict.findings
        ],
        "heads": [
            {"chain": one.chain, "block": one.block, "at": one.at, "head": one.head}
            for one in (proofs.kept(state.head) for state in verdict.chains if state.head.block)
        ],
    }


def _chain(state: ChainState) -> JsonValue:
    return {
        "chain": state.head.chain,
        "segments": state.segments,
        "first": state.first,
        "last": state.head.block,
        "until": rfc3339(state.head.at_ms),
        "ending": state.ending.value,
    }
