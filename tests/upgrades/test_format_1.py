"""What a deployment of format version 1 holds is read for ever.

Its files are those of `python -m tests.support.format_fixture`, as they were written once.
"""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.deployment import Deployment
from tests.support.format_fixture import told

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "format-1.json").read_text())


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Today's programs over those files."""
    running = Deployment(tmp_path_factory.mktemp("format-1"))
    running.root.mkdir(mode=0o700)
    with tarfile.open(HERE / "format-1.tar.gz") as archive:
        archive.extractall(running.root, filter="data")
    running.start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def http(upgraded: Deployment) -> Iterator[httpx.Client]:
    """The administrator of then."""
    with upgraded.http() as client:
        yield client


@pytest.fixture(scope="module")
def found(upgraded: Deployment) -> dict[str, Any]:
    """What a client is told before anything is changed."""
    with upgraded.http() as client:
        return told(client)


def test_everything_is_as_it_was_told_then(http: httpx.Client, found: dict[str, Any]) -> None:
    """After an update entities, versions, templates, grants or keys are gone, or are others."""
    assert found == EXPECTED
    for database, key in (("gone", "lost"), ("passing", "passed")):
        assert http.get(f"/entity/{database}", params={"key": key}).status_code == 404


@pytest.mark.usefixtures("found")
def test_versions_go_on_where_they_were(http: httpx.Client) -> None:
    """After an update an old ETag is good for a new document."""
    assert http.get("/entity/people", params={"key": "deleted"}).status_code == 404
    for key, version in (("large numbers", 2), ("deleted", 3)):
        put = http.put("/entity/people", json={key: {"name": "later"}})
        assert put.is_success, put.text
        assert put.headers["ETag"] == f'"{version}"'
    # The template that was there is in force.
    assert http.put("/entity/people", json={"bad": {"visits": 1}}).status_code == 422


def test_nothing_of_it_is_taken_for_damage(upgraded: Deployment) -> None:
    """After an update a verification or the auditor cries wolf."""
    command = Path(sys.executable).parent / "strongroom"
    client_id, client_secret = upgraded.credentials()
    environment = {
        "STRONGROOM_URL": upgraded.facts["http_url"],
        "STRONGROOM_CLIENT_ID": client_id,
        "STRONGROOM_CLIENT_SECRET": client_secret,
    }
    audited = ["audit", "verify", str(upgraded.shared_dir)]
    # Files of the database that was deleted are there still, and told of until they are removed.
    for arguments in (["verify", "--repair"], ["verify"], audited):
        ended = subprocess.run(  # noqa: S603 - the project's own command
            [str(command), *arguments],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
