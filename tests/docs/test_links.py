"""Links between the pages, and the sections of the design that the code cites."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
SOURCES = ("app.py", "cli", "layers", "main_api", "processing_fn", "proto", "tests")


def _name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_a_link_leads_somewhere(page: Path) -> None:
    """A reader follows a link to a page or section that is not there."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in _anchors(linked), target


def test_every_page_is_in_the_index() -> None:
    """A page of docs/ cannot be found from its index."""
    docs = REPOSITORY / "docs"
    linked = {
        (index.parent / target).resolve()
        for index in (docs / "README.md", docs / "adr" / "README.md")
        for target in re.findall(r"\]\(([^)#\s]+)", index.read_text())
    }
    pages = {path for path in docs.rglob("*.md") if path != docs / "README.md"}
    assert {_name(page) for page in pages - linked} == set()


def test_the_cited_sections_of_the_design_are_there() -> None:
    """A docstring sends its reader to a section that the design does not have."""
    headings = re.findall(r"^## (\d)\. ", (REPOSITORY / "docs/design.md").read_text(), re.MULTILINE)
    files = [path for source in SOURCES for path in _python_files(REPOSITORY / source)]
    cited = {
        number
        for path in files
        for number in re.findall(r"design\.md(?:,)?\s+section\s+(\d)", path.read_text())
    }
    assert cited
    assert cited <= set(headings)


def _python_files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.rglob("*.py"))
