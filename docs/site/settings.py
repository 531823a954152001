"""The reference of settings: what each process reads of its environment.

Which variables a process reads, and what it takes, are found by asking its own code: it reads an
environment that notes what it is asked for, and refuses a value that nobody can have meant. What a
variable is for stands in settings.toml; tests hold the defaults against the code, and look through
the sources for variables that are missing.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from main_api import founding
from main_api import settings as main_worker
from processing_fn import settings as worker
from strongroom.errors import InvalidArgumentError
from strongroom_client import assembly

PREFIX: Final = "STRONGROOM_"
REQUIRED: Final = "required"


class Variable(NamedTuple):
    """What is said of a variable.

    Attributes:
        name: Without the prefix that all have.
        said: What it does.
        default: What it is without it, as it would be set; empty for nothing.
        takes: What may stand in it, where the code refuses nothing.
    """

    name: str
    said: str
    default: str = ""
    takes: str = ""


def _sections() -> dict[str, tuple[Variable, ...]]:
    told = tomllib.loads((Path(__file__).parent / "settings.toml").read_text())
    return {
        heading: tuple(Variable(name, **said) for name, said in some.items())
        for heading, some in told.items()
    }


SECTIONS: Final = _sections()
VARIABLES: Final = {one.name: one for some in SECTIONS.values() for one in some}
_ABOUT: Final = """\
Every process reads its settings from the environment, once, at its start. One that is missing, or
out of its bounds, ends the start with a sentence that names it; an empty variable is as good as
none. `strongroom up` hands those that it was started with down to its processes, and sets what
belongs to each itself: addresses, certificates, directories.

*REST* and *gRPC* are the two processes of a Main Worker, the REST one also as a Lambda; the
*founder* makes a deployment on AWS."""
_BY_HAND: Final = {
    "command line": (
        "URL",
        "CLIENT_ID",
        "CLIENT_SECRET",
        "CA_FILE",
        "PROFILE",
        "TRANSPORT",
        "RECOVERY_PASSPHRASE",
    )
}

_SERVES: Final = {
    "SHARED_DIR": "/shared",
    "CA_FILE": "ca.pem",
    "CERTIFICATE_FILE": "own.pem",
    "KEY_FILE": "own.key",
}
_MAIN: Final = _SERVES | {
    "KMS_KEY_ARN": "arn",
    "MASTER_KEY_FILE": "/keys/master",
    "SERVER_CERTIFICATE_FILE": "server.pem",
    "SERVER_KEY_FILE": "server.key",
}
_RATES: Final = {"RATE_REQUESTS_PER_SECOND": "1", "RATE_BYTES_PER_SECOND": "1"}


def _rest(told: Mapping[str, str]) -> object:
    read = (
        main_worker.from_environment,
        main_worker.http_policy_from_environment,
        main_worker.rest_from_environment,
    )
    return [one(told) for one in read]


def _grpc(told: Mapping[str, str]) -> object:
    return [main_worker.from_environment(told), main_worker.rpc_from_environment(told)]


class Process(NamedTuple):
    """A kind of process: what reads its settings, and what it cannot do without."""

    read: Callable[[Mapping[str, str]], object]
    needs: Mapping[str, str]


PROCESSES: Final = {
    "REST": Process(_rest, _MAIN),
    "gRPC": Process(_grpc, _MAIN),
    "worker": Process(
        worker.from_environment, _SERVES | {"WORKER_ID": "worker-1", "MAIN_ADDRESS": "main:50052"}
    ),
    "founder": Process(
        founding.Places.from_environment,
        {
            f"{name}_SECRET_ARN": "arn"
            for name in ("AUTHORITY", "IDENTITY", "ENROLMENT", "ADMINISTRATOR")
        },
    ),
    "client library": Process(
        assembly.environment,
        {"URL": "https://db.example", "CLIENT_ID": "reports", "CLIENT_SECRET": "x"},
    ),
}


class _Noting(dict[str, str]):
    """An environment that notes what it is asked for."""

    def __init__(self, given: Mapping[str, str]) -> None:
        super().__init__(environment(given))
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as dict's
        self.asked.add(name)
        return super().get(name, default)


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return variables by their whole names."""
    return {f"{PREFIX}{name}": value for name, value in given.items()}


def read_by(process: Process) -> set[str]:
    """Return the names of the variables that a process reads, without their prefix."""
    asked: set[str] = set()
    for provider in main_worker.ProviderKind:
        noting = _Noting({**process.needs, **_RATES, "KEY_PROVIDER": provider.value})
        process.read(noting)
        asked |= noting.asked
    return {name.removeprefix(PREFIX) for name in asked if name.startswith(PREFIX)}


def refusal(process: Process, name: str, value: str) -> str:
    """Return what a process says against a value of a variable; nothing where it takes it."""
    try:
        process.read(environment({**process.needs, **_RATES, name: value}))
    except InvalidArgumentError as error:
        said = re.sub(rf"^{PREFIX}{name}(?: is|:) |, not '.*'$", "", error.detail)
        return "" if f"set {PREFIX}" in said else said
    return ""


def page() -> str:
    """Return the page."""
    readers = {name: read_by(process) for name, process in PROCESSES.items()}
    lines = ["# Settings", "", _ABOUT, ""]
    for heading, variables in SECTIONS.items():
        lines += [f"## {heading}", ""]
        for one in variables:
            by = [name for name, read in readers.items() if one.name in read]
            by += [name for name, read in _BY_HAND.items() if one.name in read]
            lines += [f"### {one.name}", "", f"`{PREFIX}{one.name}`: {one.said}.", ""]
            lines += _facts(one, by)
    return "\n".join(lines)


def _facts(one: Variable, by: list[str]) -> list[str]:
    default = one.default if one.default in {"", REQUIRED} else f"`{one.default}`"
    if one.default == REQUIRED and one.name in {"KMS_KEY_ARN", "MASTER_KEY_FILE"}:
        default = "required by its provider"
    takes = one.takes or _takes(one.name, by)
    facts = {"default": default or "none", "takes": takes, "read by": ", ".join(by)}
    return [" · ".join(f"*{name}* {said}" for name, said in facts.items()), ""]


def _takes(name: str, by: list[str]) -> str:
    process = PROCESSES[by[0]]
    said = refusal(process, name, "?")
    if said.startswith("a number") and refusal(process, name, "1.5") == "a whole number":
        said = said.replace("a number", "a whole number")
    said = re.sub(r"\b(?:[0-9.]+e[+-][0-9]+|[0-9]{4,})\b", _written_out, said)
    return said.replace("<", "&lt;")


def _written_out(number: re.Match[str]) -> str:
    value = float(number[0])
    return f"{value:,.0f}" if value >= 1 else f"{value:f}"
