"""The documentation as a site: every page is there, no link leads nowhere, nobody else is asked."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from main_api.rest.app import app
from main_api.rpc.server import CLIENT_SERVICES
from strongroom.errors import StrongroomError

REPOSITORY = Path(__file__).parents[2]
FETCHED = re.compile(
    r"<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=\"?(https?:)?//", re.IGNORECASE
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with every warning an error."""
    directory = tmp_path_factory.mktemp("site")
    built = subprocess.run(  # noqa: S603 - a tool of the environment
        [str(Path(sys.executable).parent / "mkdocs"), "build", "--strict", "-d", str(directory)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return directory


def test_pages_ask_nobody_else_for_anything(site: Path) -> None:
    """Who reads it is told to somebody else, or reads nothing without a network."""
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        assert not FETCHED.search(page.read_text()), page


def test_the_reference_names_all_there_is(site: Path) -> None:
    """An operation, a command or an error is nowhere to be found."""
    rest = (site / "reference/rest.html").read_text()
    for path, method in app.operations:
        assert f"{method} {path}" in rest
    grpc = (site / "reference/grpc.html").read_text()
    for service in CLIENT_SERVICES:
        for one in service.methods:
            assert f"<code>{one.name}</code>" in grpc
    told = (site / "reference/errors.html").read_text()
    for kind in StrongroomError.__subclasses__():
        if kind.__module__ == "strongroom.errors":
            assert f"<code>{kind.code}</code>" in told
    commands = (site / "reference/command-line.html").read_text()
    for command in ("strongroom up", "strongroom keys rotate", "strongroom audit verify"):
        assert command in commands
