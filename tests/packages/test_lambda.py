"""The packaged Lambda: what `make package` has built, unpacked and run as Lambda runs it."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import msgspec
import pytest
from botocore.regions import EndpointResolver

from infra.stacks.agreed import OWN
from strongroom.metrics import catalogue
from tests.support.deployment import CHAT, Deployment
from tests.support.embedded_metric_format import judged
from tests.support.lambda_sandbox import (
    LambdaFunction,
    Sandbox,
    api_gateway_event,
    environment_of,
)

ROOT = Path(__file__).parents[2]
UNZIPPED_BYTES_MAX = 70_000_000


def _build(directory: Path) -> Path:
    """Run what `make package` runs, for a directory of the test's own."""
    subprocess.run(  # noqa: S603 - the project's own command
        [sys.executable, "-m", "infra.packaging", "--output", str(directory)],
        check=True,
        cwd=ROOT,
        capture_output=True,
    )
    return directory


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages."""
    return _build(tmp_path_factory.mktemp("built") / "lambda")


@pytest.fixture(scope="module")
def sandbox(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """Both packages, unpacked."""
    directory = tmp_path_factory.mktemp("sandbox")
    return Sandbox(directory).unpack(built / "function.zip", built / "layer.zip")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The Processing Workers, the directory and the KMS that the function works with."""
    running = Deployment(tmp_path_factory.mktemp("deployment"), ("--no-fork",))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def function(sandbox: Sandbox, deployment: Deployment) -> Iterator[LambdaFunction]:
    """A Lambda beside the deployment's own REST face."""
    with LambdaFunction(sandbox, environment_of(deployment.facts["pids"]["rest"])) as running:
        yield running


def _authorize(function: LambdaFunction, deployment: Deployment) -> dict[str, str]:
    credentials = base64.b64encode(":".join(deployment.credentials()).encode()).decode()
    answer = function.invoke(
        api_gateway_event(
            "POST",
            "/oauth/token",
            resource="/oauth/token",
            headers={
                "Authorization": f"Basic {credentials}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            body=b"grant_type=client_credentials",
        )
    )
    assert answer["statusCode"] == 200, answer
    return {"Authorization": f"Bearer {_body(answer)['access_token']}"}


def _body(answer: dict[str, Any]) -> Any:  # noqa: ANN401 - whatever JSON it is
    text = answer["body"]
    return json.loads(base64.b64decode(text) if answer.get("isBase64Encoded") else text)


def _put(headers: dict[str, str], body: bytes) -> dict[str, Any]:
    return api_gateway_event(
        "PUT",
        "/entity/chatdb",
        resource="/entity/{database}",
        parameters={"database": "chatdb"},
        headers={**headers, "Content-Type": "application/json"},
        body=body,
    )


def _get(headers: dict[str, str], key: str) -> dict[str, Any]:
    return api_gateway_event(
        "GET",
        f"/entity/chatdb?key={key}",
        resource="/entity/{database}",
        parameters={"database": "chatdb"},
        headers=headers,
    )


def test_a_put_and_a_get_through_the_packaged_function(
    function: LambdaFunction, deployment: Deployment
) -> None:
    """What is deployed lacks a module, or answers otherwise than what was tested."""
    headers = _authorize(function, deployment)
    cold_ms = (time.monotonic() - function.started_s) * 1000
    put = function.invoke(_put(headers, json.dumps({"of-lambda": CHAT}).encode()))
    assert put["statusCode"] == 201, put
    began_s = time.monotonic()
    got = function.invoke(_get(headers, "of-lambda"))
    warm_ms = (time.monotonic() - began_s) * 1000
    assert got["statusCode"] == 200
    assert _body(got) == {"of-lambda": CHAT}
    with deployment.http() as client:
        assert client.get("/entity/chatdb?key=of-lambda").json() == {"of-lambda": CHAT}
    sys.stdout.write(f"start to first answer {cold_ms:.0f} ms, warm get {warm_ms:.1f} ms\n")


def test_what_each_invocation_has_counted_is_printed_for_cloudwatch(
    function: LambdaFunction, deployment: Deployment
) -> None:
    """Nobody can see how a Lambda is doing: a line is missing, is mixed up, or is refused."""
    before = len(function.log.read_bytes())
    headers = _authorize(function, deployment)
    for path in ("/nothing", "/healthz"):
        function.invoke(api_gateway_event("GET", path, resource=path, headers=headers))
    printed = function.log.read_bytes()[before:].splitlines(keepends=True)
    documents = [judged(line) for line in printed if line.startswith(b'{"_aws"')]
    requests = [one for one in documents if catalogue.HTTP_SECONDS.name in one]
    assert [(one["route"], one["status"]) for one in requests] == [
        ("/oauth/token", "2xx"),
        ("unmatched", "4xx"),
        ("/healthz", "2xx"),
    ]
    assert {one["FunctionName"] for one in documents} == {"strongroom"}
    told = {
        (definition["Name"], dimension)
        for one in documents
        for directive in one["_aws"]["CloudWatchMetrics"]
        for definition in directive["Metrics"]
        for dimension in map(frozenset, directive["Dimensions"])
    }
    # What an alarm or the dashboard is made of.
    for name, own in OWN.items():
        assert (own.metric.name, frozenset({"FunctionName", *own.labels})) in told, name


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
def test_the_api_is_described_by_the_packaged_function(function: LambdaFunction, path: str) -> None:
    """What describes the API needs something that is not in the package."""
    answer = function.invoke(api_gateway_event("GET", path, resource=path))
    assert answer["statusCode"] == 200, answer
    assert "put_entities" in answer["body"]


def test_a_function_that_was_frozen_answers(
    function: LambdaFunction, deployment: Deployment
) -> None:
    """After a pause the function keeps a connection that is dead, and fails its first requests."""
    headers = _authorize(function, deployment)
    function.invoke(_put(headers, json.dumps({"frozen": CHAT}).encode()))
    os.kill(function.pid, 19)
    try:
        # Meanwhile every worker that it has a connection to ends, and others come in their place.
        for pid in deployment.facts["pids"]["workers"].values():
            os.kill(pid, 9)
        deadline_s = time.monotonic() + 30
        with deployment.http() as client:
            while client.get("/entity/chatdb?key=frozen").status_code != 200:
                assert time.monotonic() < deadline_s
                time.sleep(0.1)
    finally:
        os.kill(function.pid, 18)
    got = function.invoke(_get(headers, "frozen"))
    assert got["statusCode"] == 200, got
    assert _body(got) == {"frozen": CHAT}
    deployment.reload()


def test_a_stranger_is_refused(function: LambdaFunction) -> None:
    """Without API Gateway's authorizer the function has to verify tokens itself; here it does."""
    answer = function.invoke(_get({}, "of-lambda"))
    assert answer["statusCode"] == 401
    assert answer["headers"]["Content-Type"] == "application/problem+json"


def test_a_body_that_is_no_text_is_refused_in_words(
    function: LambdaFunction, deployment: Deployment
) -> None:
    """Bytes that are not UTF-8 end as an error of Lambda's, with a stack trace."""
    headers = _authorize(function, deployment)
    answer = function.invoke(_put(headers, b'{"k": "\xff\xfe"}'))
    assert answer["statusCode"] == 400
    assert _body(answer)["type"] == "urn:strongroom:problem:invalid-json"


def test_the_same_sources_give_the_same_bytes(built: Path, tmp_path: Path) -> None:
    """Nobody can check that what is deployed was made from what was reviewed."""
    again = _build(tmp_path / "again")
    for name in ("function.zip", "layer.zip"):
        assert (again / name).read_bytes() == (built / name).read_bytes(), name


def test_the_collector_works_once_everything_is_imported(sandbox: Sandbox) -> None:
    """A function that lives for hours fills its memory with cycles, or starts a tenth slower."""
    code = "import app, gc; print(gc.isenabled(), gc.get_freeze_count() > 10_000)"
    done = subprocess.run(  # noqa: S603 - the function's own import
        [sys.executable, "-S", "-s", "-c", code],
        check=True,
        cwd=sandbox.task,
        env={"PYTHONPATH": f"{sandbox.task}:{sandbox.layer / 'python'}"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["True", "True"]


def test_together_they_are_small(sandbox: Sandbox) -> None:
    """A dependency that nobody noticed makes every cold start slower."""
    files = [p for folder in (sandbox.task, sandbox.layer) for p in folder.rglob("*")]
    assert sum(p.stat().st_size for p in files if p.is_file()) <= UNZIPPED_BYTES_MAX


def test_nothing_that_no_lambda_needs(sandbox: Sandbox) -> None:
    """Tests, installers and type stubs are shipped to production."""
    names = {path.name for path in (sandbox.layer / "python").iterdir()}
    assert not names & {"pip", "setuptools", "wheel", "chalice", "click", "moto", "rich", "typer"}
    paths = [p for folder in (sandbox.task, sandbox.layer) for p in folder.rglob("*")]
    assert not [p for p in paths if p.suffix == ".pyi" or p.name in {"tests", "test"}]
    models = sandbox.layer / "python" / "botocore" / "data"
    assert {p.name for p in models.iterdir() if p.is_dir()} == {"kms", "secretsmanager", "sts"}


def test_services_are_where_botocore_says(sandbox: Sandbox) -> None:
    """In some region a key, or a secret with a certificate, is looked for in the wrong place."""
    shipped = msgspec.json.decode(
        (sandbox.layer / "python" / "botocore" / "data" / "endpoints.json").read_bytes()
    )
    whole = botocore.session.get_session().get_data("endpoints")
    assert len(shipped["partitions"]) == len(whole["partitions"])
    ours, theirs = (EndpointResolver(endpoints) for endpoints in (shipped, whole))
    for partition in whole["partitions"]:
        for region in partition["regions"]:
            for service in ("kms", "secretsmanager", "sts"):
                found = theirs.construct_endpoint(service, region)
                assert ours.construct_endpoint(service, region) == found


def test_bytecode_is_shipped_for_every_module(sandbox: Sandbox) -> None:
    """Lambda cannot keep what it compiles: a module without bytecode slows every cold start."""
    for folder in (sandbox.layer / "python", sandbox.task / "main_api"):
        sources = list(folder.rglob("*.py"))
        assert sources
        bare = [
            source
            for source in sources
            if not list((source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc"))
        ]
        assert bare == []
