"""The README's example, entered as a newcomer would, against a deployment that nobody has used."""

import re
from collections.abc import Iterator

import pytest

from main_api.rest.app import app
from main_api.rpc import declared
from main_api.rpc.server import CLIENT_SERVICES
from tests.support import pages
from tests.support.deployment import wait_until
from tests.support.pages import Run, Terminal

TEXT = pages.page("README.md")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A deployment of its own: the README shows first versions."""
    running = Run(tmp_path_factory.mktemp("readme"))
    running.start()
    yield running
    assert running.stop() == 0


def test_the_example_answers_as_the_readme_shows(fresh: Run) -> None:
    """A newcomer's first commands fail, or answer something else than the README says."""
    steps = pages.steps(TEXT)
    assert [step.kind for step in steps] == ["", "http", "http", "http", "text", "text"]
    with Terminal(fresh.directory) as terminal:
        terminal.follow(steps, fresh)


def test_up_prints_the_commands_of_the_readme(fresh: Run) -> None:
    """The terminal tells a newcomer something else than the README."""
    out = fresh.directory / "up.out"
    assert wait_until(lambda: "Ctrl-C stops it" in out.read_text(), 10)
    lines = re.sub("^  ", "", out.read_text(), flags=re.MULTILINE).replace(
        f"{fresh.root}/", ".local/"
    )
    for step in pages.steps(TEXT)[:3]:
        assert pages.at(fresh, step.commands) in lines


def test_the_table_has_every_path() -> None:
    """A reader of the README does not learn of a path, or looks for one that is not there."""
    told = {
        (method, path)
        for methods, path in re.findall(r"`([A-Z][A-Z, ]+) (/[^ `]*)`", _table())
        for method in methods.split(", ")
    }
    served = {(m, path) for path, methods in app.routes.items() for m in methods}
    assert told == served


def test_the_table_has_every_method() -> None:
    """A reader of the README does not learn of a gRPC method, or looks for one that is gone."""
    methods = {method.name for method in declared.methods(CLIENT_SERVICES)}
    column = " ".join(row.split("|")[2] for row in _table().splitlines() if row.count("|") > 2)
    assert set(re.findall(r"`([A-Z]\w+)`", column)) == methods


def _table() -> str:
    return pages.section(TEXT, "What it can do").partition("\nWrites")[0]
