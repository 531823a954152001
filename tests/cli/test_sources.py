"""Entities as they are read from files: three forms, exact to the byte, with little memory."""

import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.data import sources
from cli.data.sources import Format, Item
from strongroom.errors import InvalidArgumentError


class Dripping(io.BytesIO):
    """A source that gives a few bytes at a time, as a pipe may."""

    def read(self, size: int | None = -1) -> bytes:
        """Read some."""
        return super().read(min(7, size if size is not None and size > 0 else 7))

    def readline(self, size: int | None = -1) -> bytes:
        """Read a line."""
        return super().readline(size)


def read(text: bytes | str, chosen: Format = Format.AUTO) -> list[Item]:
    """Read what a file of this content has."""
    raw = text if isinstance(text, bytes) else text.encode()
    return list(sources.items(Dripping(raw), chosen))


def told(items: list[Item]) -> dict[str, bytes]:
    """Return the texts by key."""
    return {one.key: one.text for one in items}


def test_three_forms_are_told_apart() -> None:
    """A file that is not of lines is refused, or imported as something else."""
    expected = {"a": b"1", "b": b'{"key": "x"}'}
    lines = '{"key": "a", "entity": 1}\n\n{"version": 3, "key":"b","entity":{"key": "x"}}'
    assert told(read(lines)) == expected
    assert told(read(f"[{lines.replace(chr(10) * 2, ',')}]")) == expected
    assert told(read('{"a": 1, "b": {"key": "x"}}')) == expected
    assert told(read('{\n "a": 1,\n "b": {"key": "x"}\n}\n')) == expected
    assert told(read('{"key": 1, "entity": 2}')) == {"key": b"1", "entity": b"2"}
    assert told(read('{"key": "a", "entity": 2}', Format.JSON)) == {"key": b'"a"', "entity": b"2"}
    assert [read(text) for text in ("", " \n\n", "{}", "[]", " \n [ ]\n")] == [[]] * 5


def test_a_mark_of_the_order_of_bytes_is_none_of_the_text() -> None:
    """What an editor of Windows has saved is refused in its first column."""
    for text in ('{"key": "a", "entity": 1}\n', '{"a": 1}', '[{"key": "a", "entity": 1}]'):
        assert told(read(f"\ufeff{text}")) == {"a": b"1"}
    assert read("\ufeff") == []


def test_an_entity_is_the_bytes_that_it_was() -> None:
    """Digits are lost, or of two members of one name the deployment sees one."""
    odd = r'{"n": 0.10000000000000000000001, "m": 1E400, "m": -0.0, "s": "\ud800/\u00e9é"}'
    digits = "1" * 5_000
    assert told(read(f'{{"a": {odd},"b":{digits} , "é\\n": []}}')) == {
        "a": odd.encode(),
        "b": digits.encode(),
        "é\n": b"[]",
    }


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.text(st.characters(exclude_categories=["Cs"])),
            lambda inner: st.lists(inner) | st.dictionaries(st.text('aé\n"\\{[,:'), inner),
            max_leaves=8,
        ),
    ),
    st.sampled_from([None, 1]),
)
def test_any_object_is_read(entities: dict[str, Any], indent: int | None) -> None:
    """An entity is cut where a bracket or a quote stands in a text."""
    found = told(read(json.dumps(entities, indent=indent, ensure_ascii=False), Format.JSON))
    assert {key: json.loads(text) for key, text in found.items()} == entities


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"a": 1,\n "b" 2}', "line 2, column 6"),
        ('{"a": 1\n "b": 2}', "line 2, column 2"),
        ('{"a": hunter2}', "line 1, column 7"),
        ('{"a": 1}\n\nhunter2', "line 3, column 1"),
        ('{"a": "hunter2', "line 1, column 7"),
        ('[{"key": "a", "entity": 1},\n {"kex": "hunter2"}]', "entity 2, line 2,"),
        ("[1]", "entity 1, line 1,"),
        ('{"key": "a", "entity": hunter2}\n', "line 1, column 24"),
        ('{"key": "a", "entity": 1}\n{"kex": "hunter2"}', "line 2 is not of the form"),
        ("hunter2", "line 1"),
        (b'{"a": 1,\n"b": "\xff"}', "not UTF-8"),
        (
            b'{"key": "a", "entity": 1}\n{"key": "b", "entity": "\xff"}',
            "line 2 has something in it",
        ),
        ('{"a": ' + "[" * 100_000, "nests too deep"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: bytes | str, where: str) -> None:
    """Whoever has a comma too many has to look for it; or what is told shows a value."""
    with pytest.raises(InvalidArgumentError) as refused:
        read(text)
    assert where in refused.value.detail
    assert "hunter2" not in refused.value.detail


def test_a_large_file_is_not_read_whole() -> None:
    """An import of a file that is larger than the memory ends the machine."""

    class Endless(io.RawIOBase):
        """16 MB of entities, made as they are read."""

        def __init__(self) -> None:
            self._left = 16
            self._first = True

        def readline(self, size: int | None = -1, /) -> bytes:
            del size
            return b"{\n"

        def read(self, size: int = -1, /) -> bytes:
            del size
            if self._left == 0:
                return b""
            self._left -= 1
            start = "" if self._left == 15 else ","
            body = start + ",".join(f'"{self._left}/{n}": "{"x" * 1000}"' for n in range(1000))
            return (body + ("}" if self._left == 0 else "")).encode()

    endless: Any = Endless()
    tracemalloc.start()
    try:
        count = len([None for _ in sources.items(endless, Format.AUTO)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 16_000
    assert peak < 8 * 2**20


def test_an_entity_without_end_is_refused() -> None:
    """A file with one huge text fills the memory."""
    with pytest.raises(InvalidArgumentError, match="at most"):
        list(sources.items(io.BytesIO(b'{"a":\n"' + b"x" * (9 * 2**20)), Format.AUTO))
