"""docs/deploy.md: every command in it exists, and what it says of the code is so."""

import re
import shlex
from pathlib import Path

import botocore.session
import pytest

from infra import stage
from main_api.rest import routes
from strongroom import limits
from strongroom.errors import UnavailableError
from tests.support.mains import Unbuildable
from tests.support.synthesized import PARTS

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "deploy.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line
]
# Of its own command line (https://docs.aws.amazon.com/cdk/v2/guide/ref-cli-cmd.html).
CDK = {"bootstrap", "deploy", "diff", "destroy"}
ROUTES = routes.build(Unbuildable(UnavailableError("not built"))).routes


def _aws() -> list[list[str]]:
    found = re.findall(r"aws ([a-z0-9-]+ (?:wait )?[a-z0-9-]+[^`)\n]*)", PAGE)
    return [
        shlex.split(one.replace('"', " ").replace("'", " ").replace("$(", " ")) for one in found
    ]


@pytest.mark.parametrize("words", _aws(), ids=lambda words: " ".join(words[:3]))
def test_a_command_of_aws_exists(words: list[str]) -> None:
    """An operator types what the page says, and is told that there is no such thing."""
    session = botocore.session.Session()
    service, *rest = words
    client = session.get_service_model(service)
    if rest[0] == "wait":
        waiters = session.get_waiter_model(service).waiter_names
        assert _camel(rest[1]) in waiters
        return
    operation = client.operation_model(_camel(rest[0]))
    assert operation.input_shape is not None
    members = {_kebab(name) for name in operation.input_shape.members}
    options = {word.removeprefix("--") for word in rest if word.startswith("--")}
    # A flag may be turned off; the last two are of the command line itself.
    known = members | {f"no-{name}" for name in members} | {"query", "output"}
    assert options <= known


def test_the_other_commands_exist() -> None:
    """The same, of make and of the CDK."""
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    seen = set()
    for line in COMMANDS:
        words = shlex.split(line)
        if words[0] == "make":
            assert words[1] in targets, line
        if words[:2] == ["npx", "aws-cdk@2"]:
            assert words[2] in CDK, line
            seen.add(words[2])
        for word in words:
            if word.startswith("stage="):
                assert word.removeprefix("stage=") in stage.names()
    assert seen == CDK


def test_the_stacks_are_those_that_there_are() -> None:
    """A stack is left out of the first deployment, or does not exist."""
    named = set(re.findall(r"strongroom-(?:dev|prod)-([a-z]+)", PAGE))
    assert named <= set(PARTS)
    table = re.findall(r"^\| `([a-z]+)` \|", PAGE, re.MULTILINE)
    assert tuple(table) == PARTS


def test_the_outputs_that_it_reads_are_written() -> None:
    """The founder is started with an empty list of subnets."""
    source = (REPOSITORY / "infra" / "stacks" / "founding.py").read_text()
    for name in set(re.findall(r"value ([A-Z][A-Za-z]+)", PAGE)):
        assert f'"{name}":' in source, name


def test_the_paths_that_it_asks_for_are_served() -> None:
    """The first request is answered with 404."""
    asked = re.findall(r"\$\{URL\}([a-z/.0-9]+)", PAGE)
    assert len(asked) == 5
    for path in asked:
        served = re.sub(r"^(entity|schemas|databases)/[a-z.0-9]+$", r"\1/", path)
        assert [route for route in ROUTES if route.startswith(f"/{served}")], path
    for method, path in re.findall(r"`(GET|PUT|POST|DELETE) (/[a-z/_{}]+)`", PAGE):
        assert method in ROUTES[path], path


def test_what_it_says_of_limits_is_so() -> None:
    """Somebody plans by a limit that is another one by now."""
    assert f"4 MiB + 64 KiB is {limits.MESSAGE_BYTES_MAX * 4 / 3 / 1e6:.1f} MB in base64" in PAGE
    assert (
        f"{limits.WORKER_CONCURRENT_REQUESTS_MAX} at most (`WORKER_CONCURRENT_REQUESTS_MAX`)"
        in PAGE
    )
    assert f"ends after {limits.REQUEST_SECONDS:.0f} s" in PAGE
    assert f"wait up to {limits.LOCK_WAIT_SECONDS:.0f} s" in PAGE
    assert (
        f"for {limits.ENROLLED_CERTIFICATE_DAYS} days"
        in (REPOSITORY / "docs" / "adr" / "0023-a-worker-enrols-itself.md").read_text()
    )


def test_its_sums_are_right() -> None:
    """A month costs more than the page says."""
    hours, zones, endpoint = 730, {"dev": 2, "prod": 3}, 0.012
    worker = {"dev": 0.04656 + 2 * 0.00511, "prod": 2 * 0.04656 + 4 * 0.00511}
    main = hours * worker["dev"]
    for name, workers, gb, mains in (("dev", 2, 10, 1), ("prod", 3, 200, 3), ("prod", 24, 2000, 3)):
        settings = stage.load(name)
        assert settings.zones == zones[name]
        assert settings.main_tasks == mains
        total = (
            workers * hours * worker[name]
            + mains * main
            + 5 * zones[name] * hours * endpoint
            + hours * 0.033
            + gb * 0.36
            + gb * (1.2 if name == "dev" else 2.0) * 0.06
            + 9
        )
        stated = [int(n.replace(",", "")) for n in re.findall(r"\*\*about ([0-9,]+)\*\*", PAGE)]
        assert min(abs(total - one) / total for one in stated) < 0.03, total


def _camel(words: str) -> str:
    return "".join(part[0].upper() + part[1:] for part in words.split("-"))


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()
