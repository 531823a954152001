"""The how-to pages, each entered as its reader would, against one deployment for all of them."""

import re
from collections.abc import Iterator

import pytest

from tests.support import pages
from tests.support.deployment import CHAT
from tests.support.pages import Run, Terminal

PAGES = ("audit", "cache", "clients", "keys", "migrate", "users", "workers")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A deployment as `make run` starts it, with something in it."""
    running = Run(tmp_path_factory.mktemp("howto"))
    running.start()
    with running.http() as http:
        http.put("/entity/chatdb", json={"Chat_id": CHAT, "another": CHAT}).raise_for_status()
    yield running
    assert running.stop() == 0


@pytest.mark.parametrize("name", PAGES)
def test_a_page_does_what_it_says(name: str, run: Run) -> None:
    """An administrator's commands fail, or answer something else than the page says."""
    steps = pages.steps(pages.page(f"docs/{name}.md"))
    assert steps
    with Terminal(run.directory) as terminal:
        terminal.follow(steps, run)


def test_every_page_has_its_test() -> None:
    """A how-to whose commands nobody has tried is in the site."""
    how_to = pages.page("mkdocs.yml").partition("- How to:")[2].partition("- Reference:")[0]
    named = set(re.findall(r": ([\w-]+)\.md$", how_to, re.MULTILINE)) - {"contributing"}
    tests = [path.read_text() for path in (pages.REPOSITORY / "tests/docs").glob("test_*.py")]
    elsewhere = {one for one in named if any(f"{one}.md" in text for text in tests)}
    with_commands = {one for one in named if pages.steps(pages.page(f"docs/{one}.md"))}
    assert with_commands - elsewhere <= set(PAGES) <= named
