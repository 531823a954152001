"""`strongroom doctor`: all checks, one after the other, and what they found."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from cli.doctor import deployment, machine, shared_directory
from cli.doctor.findings import Check, Finding, Outcome, failure
from cli.output import as_json, printable
from strongroom.clock import Clock, SystemClock
from strongroom.durable import Filesystem, LocalFilesystem
from strongroom.jsontext import JsonValue

_STYLES: Final = {
    Outcome.OK: "green",
    Outcome.WARNING: "yellow",
    Outcome.FAILURE: "bold red",
    Outcome.SKIPPED: "dim",
}


def run(directory: Path, environment: Mapping[str, str], *, json: bool) -> bool:
    """Examine, print what was found, and tell whether nothing has failed."""
    found = []
    for finding in examined(directory, environment, LocalFilesystem(), SystemClock()):
        found.append(finding)
        if not json:
            _print(finding)
    failed = sum(one.outcome is Outcome.FAILURE for one in found)
    warned = sum(one.outcome is Outcome.WARNING for one in found)
    if json:
        as_json({"ok": not failed, "findings": [_as_json(one) for one in found]})
    else:
        _console().print(Text(f"{failed} failures, {warned} warnings, {len(found)} findings"))
    return not failed


def examined(
    directory: Path, environment: Mapping[str, str], filesystem: Filesystem, clock: Clock
) -> Iterator[Finding]:
    """Yield what is found of a shared directory, which may be missing, and of this machine."""
    with ExitStack() as stack:
        for check in _of_directory(directory, filesystem, clock, stack):
            yield from check.findings()
    identities = machine.identities(environment, directory.absolute().parent)
    for check in (
        Check("clock", partial(machine.clock, clock)),
        Check("open files", machine.open_files),
        Check("certificates", partial(machine.certificates_of, identities, clock.wall_ms())),
        Check(
            "key provider",
            partial(deployment.key_provider, environment, directory, clock),
            "make the master key reachable from here; without it no Main Worker starts",
        ),
        Check("ports", partial(machine.ports, environment)),
        Check(
            "deployment",
            partial(deployment.asked, environment, clock),
            "start it, or correct STRONGROOM_URL and STRONGROOM_CA_FILE",
        ),
    ):
        yield from check.findings()


def _of_directory(
    directory: Path, filesystem: Filesystem, clock: Clock, stack: ExitStack
) -> Iterator[Check]:
    yield Check("mount", partial(shared_directory.mount, directory))
    try:
        folder = stack.enter_context(shared_directory.scratch(directory))
    except OSError as error:
        told = f"nothing can be written there: {error.strerror}"
        advice = "make it, for the user of the workers alone; or name the right one"
        yield Check("directory", lambda: [failure("directory", f"{directory}: {told}", advice)])
        return
    advice = "do not run a deployment on a filesystem that refuses this"
    yield Check("locks", partial(shared_directory.locks, filesystem, folder), advice)
    yield Check("fsync", partial(shared_directory.fsync, filesystem, clock, folder), advice)
    yield Check("rename", partial(shared_directory.rename, filesystem, folder), advice)
    file_clock = partial(shared_directory.file_clock, filesystem, clock, folder)
    yield Check("clock of files", file_clock, advice)
    yield Check("space", partial(shared_directory.space, directory))


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)


def _print(finding: Finding) -> None:
    outcome = finding.outcome
    told = Text.assemble(
        (f"{outcome:<8}", _STYLES[outcome]), printable(f"{finding.check}: {finding.found}")
    )
    _console().print(told)
    if finding.advice:
        _console().print(Text(f"        -> {printable(finding.advice)}"))


def _as_json(finding: Finding) -> JsonValue:
    return {
        "check": finding.check,
        "outcome": finding.outcome.value,
        "found": finding.found,
        "advice": finding.advice,
    }
