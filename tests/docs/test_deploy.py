"""docs/deploy.md: every command in it exists, and what it says of the code is so."""

import re
import shlex
from pathlib import Path

import botocore.session
import pytest

from benchmarks.scale import costs, ends
from benchmarks.scale.costs import Size
from benchmarks.scale.operations import Operations, observed
from benchmarks.scale.published import FileSystem, Prices
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


@pytest.fixture(scope="module")
def operations() -> Operations:
    """What the project's own code asks of a file system."""
    return observed()


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
    assert f"ends after {limits.REQUEST_SECONDS:.0f} s" in PAGE
    assert f"wait up to {limits.LOCK_WAIT_SECONDS:.0f} s" in PAGE
    assert (
        f"for {limits.ENROLLED_CERTIFICATE_DAYS} days"
        in (REPOSITORY / "docs" / "adr" / "0023-a-worker-enrols-itself.md").read_text()
    )


def test_its_sums_are_right(operations: Operations) -> None:
    """A month costs more than the page says."""
    sizes = {
        "dev": (Size(workers=2, mains=1, zones=2, gigabytes=10, worker_vcpu=1, changed=1.2),),
        "prod": (Size(3, 3, 3, 200), Size(24, 3, 3, 2_000)),
    }
    for name, each in sizes.items():
        settings = stage.load(name)
        assert {size.zones for size in each} == {settings.zones}
        assert {size.mains for size in each} == {settings.main_tasks}
        assert {size.worker_vcpu for size in each} == {settings.worker_cpu / 1024}
    months = [
        costs.at_rest(size, operations, FileSystem(), Prices())
        for size in (*sizes["dev"], *sizes["prod"])
    ]
    watching = (f"{m.watching_cached:.0f} to {m.watching:,.0f}" for m in months)
    together = (f"**{m.least:,.0f} to {m.most:,.0f}**" for m in months)
    assert f"| EFS, read and written to watch each other | {' | '.join(watching)} |" in PAGE
    assert f"| **together** | {' | '.join(together)} |" in PAGE
    for row, values in (
        ("Processing Workers", [m.workers for m in months]),
        ("gRPC Main Workers", [m.mains for m in months]),
        ("interface endpoints", [m.endpoints for m in months]),
        ("EFS, stored", [m.stored for m in months]),
        ("backups (one full, 3 % changed a day)", [m.backups for m in months]),
    ):
        (cells,) = re.findall(rf"^\| {re.escape(row)} \|(.*)\|$", PAGE, re.MULTILINE)
        told = [cell.split("=")[-1].strip().replace(",", "") for cell in cells.split("|")]
        assert told == [f"{value:.0f}" for value in values], row


def test_its_sums_of_a_million_are_right(operations: Operations) -> None:
    """A request costs more than the page says."""
    both = (
        costs.million_reads(operations, Prices()),
        costs.million_writes(operations, Prices()),
    )
    together = (f"**{one.least:.2f} to {one.most:.2f}**" for one in both)
    assert f"| **together** | {' | '.join(together)} |" in PAGE
    (cells,) = re.findall(r"^\| EFS \|(.*)\|$", PAGE, re.MULTILINE)
    for cell, one in zip(cells.split("|"), both, strict=True):
        assert cell.strip().endswith(f": {one.disk_cached:.2f} to {one.disk:.2f}")
    (cells,) = re.findall(r"^\| Lambda \|(.*)\|$", PAGE, re.MULTILINE)
    for cell, one in zip(cells.split("|"), both, strict=True):
        assert cell.strip().endswith(f" = {one.function:.2f}")
    warm, cold, write = operations.warm_read, operations.cold_read, operations.write
    assert f"{warm.read_bytes // 1024} KiB, one time in ten {cold.read_bytes // 1024} KiB" in PAGE
    assert f"{write.read_bytes // 1024} KiB read, {write.written_bytes // 1024} KiB" in PAGE


def test_its_prices_are_those_that_it_reckons_with() -> None:
    """A price is corrected on the page, and every sum goes on with the old one."""
    table = PAGE.split("| what | price |")[1].split("**At rest**")[0]
    prices = Prices()
    for price in (
        prices.vcpu_hour,
        prices.gigabyte_hour,
        prices.stored_gigabyte,
        prices.read_gigabyte,
        prices.written_gigabyte,
        prices.backup_gigabyte,
        prices.endpoint_hour,
        prices.request_million,
        prices.lambda_million,
        prices.log_gigabyte,
    ):
        assert re.search(rf"\b{re.escape(str(price))}0?\b", table), price
    assert f"{prices.lambda_gigabyte_second:.10f} per GB-second" in table


def test_what_it_says_of_efs_is_so(operations: Operations) -> None:
    """Somebody plans by a limit that is another one by now."""
    disk = FileSystem()
    assert f"{disk.reads_per_second:,} a second that read" in PAGE
    assert f"{disk.writes_per_second:,} that write" in PAGE
    reads = ends.per_second(operations.warm_read, disk)
    writes = ends.per_second(operations.write, disk)
    assert f"{reads:,.0f} reads of cached entities or {writes:,.0f} writes" in PAGE
    assert f"{disk.locks_per_file} on one file, all clients together" in PAGE
    assert f"{disk.locks_per_client:,} of one client" in PAGE
    assert f"{ends.LOCKS_PER_WORKER} at most (a thread each)" in PAGE
    write = operations.write
    assert f"{1 / write.seconds(disk):.0f} writes per second at the best" in PAGE
    assert f"{len(write.calls) - len(write.beside)} calls of 1 to 3 ms" in PAGE
    assert f"some {ends.entities_paged() / 1e6:.0f} million entities for pages" in PAGE
    assert f"some {ends.entities_rewrapped() / 1e6:.0f} million for a rewrap" in PAGE


def _camel(words: str) -> str:
    return "".join(part[0].upper() + part[1:] for part in words.split("-"))


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()
