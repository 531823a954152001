"""The reference of the on-disk format: the file that it takes apart is a real one, and whole."""

import runpy
from pathlib import Path

import pytest

from docs.site import disk_format
from strongroom.layout import RECORD_KINDS
from tests.kernel.test_blob import golden

REPOSITORY = Path(__file__).parents[2]
BY_HAND = runpy.run_path(str(REPOSITORY / "docs" / "examples" / "formats.py"))


def test_the_pieces_are_the_whole_file() -> None:
    """A byte of a stored file is nowhere to be found on the page."""
    for raw in (disk_format.example(), golden("blob-v1.hex")):
        assert b"".join(one.raw for one in disk_format.pieces(raw)) == raw


def test_what_is_shown_as_readable_is_all_that_is() -> None:
    """The page says that something cannot be read, and everybody can read it."""
    raw = disk_format.example()
    readable = b"".join(one.raw for one in disk_format.pieces(raw) if one.is_readable)
    header, prelude, document = BY_HAND["open_blob"](raw, disk_format.FILE_ID, disk_format.KEY)
    assert raw.startswith(readable)
    assert b"Ada" not in raw
    assert b"2026/001" not in raw
    assert header["version"] == 2
    assert prelude["key"] == "2026/001"
    assert document == disk_format.pieces_inside(raw)[2].raw


@pytest.mark.parametrize("kind", RECORD_KINDS)
def test_every_kind_of_record_is_told(kind: str) -> None:
    """Somebody finds a directory of which no page tells."""
    page = disk_format.page()
    assert f"<root>/control/{kind}/" in page
    assert f"`{kind}`" in page.partition("**Control file**")[2].partition("\n\n")[0]


def test_the_page_shows_them() -> None:
    """A table of the page has other offsets than the file."""
    page, offset = disk_format.page(), 0
    for one in disk_format.pieces(disk_format.example()):
        assert f"| {offset} | {len(one.raw)} | `{one.raw[:16].hex(' ')}" in page
        offset += len(one.raw)
    assert "files/<database>/<2 hex>/<file-id>.json.enc" in page
    assert "**Segment of the audit log**" in page
