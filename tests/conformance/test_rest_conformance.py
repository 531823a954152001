"""The REST face is what its OpenAPI document says: schemathesis finds nothing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Template

import httpx
import pytest

from main_api.rest.operations import Tag
from tests.support import recovery_keys
from tests.support.deployment import Deployment

ROOT = Path(__file__).parents[2]
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
MANY = "1000000"
SECONDS = 110.0


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment that lets a client fail to authenticate as often as a test has to."""
    names = ("FAILED_AUTHENTICATIONS_PER_MINUTE", "FAILED_AUTHENTICATIONS_PER_ADDRESS_PER_MINUTE")
    environment = {f"STRONGROOM_{name}": MANY for name in names}
    directory = tmp_path_factory.mktemp("conformance")
    public = directory / "recovery.pem.pub"
    public.write_bytes(recovery_keys.one().public.pem)
    arguments = ("--recovery-public-key", str(public))
    running = Deployment(directory, arguments, environment=environment).start()
    yield running
    assert running.stop() == 0


def _prepared(deployment: Deployment) -> dict[str, str]:
    """Put something there to be found, and return what the configuration of the run names."""
    with deployment.http() as http:

        def done(answer: httpx.Response) -> httpx.Response:
            assert answer.is_success, answer.text
            return answer

        done(http.put("/schemas/anything", json=True))
        done(http.put("/databases/open", json={"schema_id": "anything"}))
        done(http.put("/entity/open", json={"a": {"n": 1}, "b": [1, 2], "c": None}))
        done(http.put("/clients/front-end", json={"grants": []}))
        job = done(http.post("/keys/rewrap")).json()["job_id"]
        made = done(http.put("/workers/worker-7", params={"replace": "true"}))
    client_id, client_secret = deployment.credentials()
    return {
        "CONFORMANCE_TOKEN": deployment.token(),
        "CONFORMANCE_CLIENT_ID": client_id,
        "CONFORMANCE_CLIENT_SECRET": client_secret,
        "CONFORMANCE_WORKER": made.json()["credential"],
        "CONFORMANCE_JOB": job,
    }


def _configuration(deployment: Deployment, directory: Path) -> Path:
    """Return the configuration with what it names filled in."""
    text = Template(CONFIGURATION.read_text()).substitute(_prepared(deployment))
    filled = directory / "schemathesis.toml"
    filled.write_text(text)
    return filled


CHAPTERS = (
    ("Entities", "Databases"),
    ("Schemas", "Audit", "Service"),
    ("Keys", "Backups", "Jobs"),
    ("Clients",),
    ("Issuers",),
    ("Tokens", "Workers"),
)


def test_every_chapter_is_tested() -> None:
    """A chapter is added that nobody tests."""
    assert {one for chapters in CHAPTERS for one in chapters} == set(Tag)


@pytest.mark.parametrize("chapters", CHAPTERS, ids=lambda chapters: chapters[0])
def test_schemathesis_finds_nothing(
    deployment: Deployment, tmp_path: Path, chapters: tuple[str, ...]
) -> None:
    """A client that was generated from the document meets what it does not know, or a failure."""
    url = deployment.facts["http_url"]
    chosen = [argument for one in chapters for argument in ("--include-tag", one)]
    configuration = _configuration(deployment, tmp_path)
    command = Path(sys.executable).with_name("schemathesis")
    ended = subprocess.run(  # noqa: S603 - the development dependency's own command
        [str(command), "--config-file", str(configuration), "run", f"{url}/openapi.json", *chosen],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    report = ended.stdout + ended.stderr
    paths = httpx.get(f"{url}/openapi.json").json()["paths"].values()
    tags = [operation["tags"][0] for item in paths for operation in item.values()]
    assert f"Tested: {sum(tag in chapters for tag in tags)}" in report, report
    assert ended.returncode == 0, report
    with deployment.http() as http:
        assert http.get("/readyz").status_code == httpx.codes.OK
