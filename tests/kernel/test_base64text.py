"""Base64 where each value has one text."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import base64text


@given(st.binary(max_size=50))
def test_bytes_survive(raw: bytes) -> None:
    """A key, an IV or a tag is lost on its way through a file."""
    text = base64text.encode(raw)
    assert text == base64.b64encode(raw).decode()
    assert base64text.decode(text) == raw


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "AB",
        "ABC",
        "AB=",
        "AB==C",
        "AB==",
        "ABC=\n",
        " ABC=",
        "AB-_",
        "QUI=QUI=",
        "é",
        "QUJ=",
        "====",
    ],
    ids=ascii,
)
def test_no_other_text_is_taken(text: str) -> None:
    """A changed byte of a file goes unnoticed: one MAC can be written in several ways."""
    with pytest.raises(ValueError, match=r"."):
        base64text.decode(text)
