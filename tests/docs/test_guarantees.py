"""docs/guarantees.md, docs/security.md: what they promise has its tests, and these are there."""

import ast
import functools
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGES = {
    name: (REPOSITORY / "docs" / name).read_text() for name in ("guarantees.md", "security.md")
}
TEXT = PAGES["guarantees.md"]
SECTIONS = {int(part[0]): part for part in re.split(r"^## (?=\d)", TEXT, flags=re.MULTILINE)[1:]}
NODE = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@functools.cache
def _tests_in(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("number", range(1, 9))
def test_an_invariant_says_what_is_promised_what_is_not_and_which_tests_hold_it(
    number: int,
) -> None:
    """A reader cannot tell a promise from a hope."""
    section = SECTIONS[number]
    assert "**Promised.**" in section
    assert "**Not promised.**" in section
    assert NODE.search(section)


@pytest.mark.parametrize(
    "node",
    sorted({f"{path}::{name}" for text in PAGES.values() for path, name in NODE.findall(text)}),
    ids=str,
)
def test_a_named_test_exists(node: str) -> None:
    """A promise is said to be held by a test that is not there any more."""
    path, _, name = node.partition("::")
    assert name in _tests_in(REPOSITORY / path)


@pytest.mark.parametrize("page", PAGES)
def test_every_mention_of_a_test_is_a_whole_name(page: str) -> None:
    """A test is named in a way that the check above passes over."""
    assert len(re.findall(r"tests/\w", PAGES[page])) == len(NODE.findall(PAGES[page]))


def test_the_invariants_are_the_designs() -> None:
    """Design and guarantees number their invariants differently."""
    design = (REPOSITORY / "docs" / "design.md").read_text()
    fifth = design.partition("\n## 5. ")[2].partition("\n## ")[0]
    assert [int(n) for n in re.findall(r"^(\d)\. ", fifth, re.MULTILINE)] == list(SECTIONS)
