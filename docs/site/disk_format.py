"""The reference of the on-disk format: a file that the code has written, taken apart.

Where what lies comes from docs/design.md, the tables of all formats from docs/security.md, whose
tests hold them against real files; so neither is said twice.
"""

from pathlib import Path
from typing import Final, NamedTuple

from strongroom import base64text, blob
from strongroom.blob import Body, Header, RequestRecord
from strongroom.crypto import aead

_DOCS: Final = Path(__file__).parents[1]
_SHOWN_BYTES: Final = 16
_ABOUT: Final = """\
Every file carries the version of its format, 1, and a newer one is refused with a message that says
so. [docs/examples/formats.py](../examples/formats.py) opens all of this by hand, without
Strongroom's code."""
_EXAMPLE: Final = """\
This one was written by the code when this page was made: the entity `2026/001` in its second
version, of {size} bytes. What stands in italics can be read without a key."""

KEY: Final = bytes(range(32))
FILE_ID: Final = bytes(range(32, 64))
_DOCUMENT: Final = b'{"client": "Ada Lovelace", "status": "open"}'
_HEADER: Final = Header(
    format=blob.FORMAT_VERSION,
    alg="AES-256-GCM",
    key_id="554d6d01618fd4e5",
    iv=base64text.encode(bytes(range(64, 76))),
    schema_id="case.v1",
    schema_version=1,
    writer_id="worker-1",
    version=2,
    created_at="2026-03-02T09:12:44.408Z",
    updated_at="2026-03-02T09:15:02.120Z",
)
_REQUEST: Final = RequestRecord(b"k" * 12, b"d" * 8, 2, 1_772_442_902_120, created=False)


class Piece(NamedTuple):
    """A run of bytes of a file: what they are, and whether they can be read without a key."""

    raw: bytes
    said: str
    is_readable: bool = False


def example() -> bytes:
    """Return a blob, as the code writes it."""
    return blob.encrypt(_HEADER, Body("2026/001", _DOCUMENT, (_REQUEST.pack(),)), FILE_ID, KEY)


def pieces(raw: bytes) -> list[Piece]:
    """Take a blob apart, by its own lengths."""
    header_bytes = int.from_bytes(raw[4:8])
    begin = 8 + header_bytes
    end = len(raw) - aead.TAG_BYTES
    return [
        Piece(raw[:3], "magic, `SRM`", is_readable=True),
        Piece(raw[3:4], "format version", is_readable=True),
        Piece(raw[4:8], f"length of the header, {header_bytes}", is_readable=True),
        Piece(raw[8:begin], "header, JSON, below", is_readable=True),
        Piece(raw[begin:end], "ciphertext"),
        Piece(raw[end:], "tag, over all of it and the file-id"),
    ]


def pieces_inside(raw: bytes) -> list[Piece]:
    """Decrypt a blob and take apart what is inside."""
    parsed = blob.parse(raw)
    at = parsed.ciphertext_offset
    iv = base64text.decode(parsed.header.iv)
    plaintext = blob.cipher(KEY, FILE_ID).open(iv, raw[at:], raw[:at] + FILE_ID)
    prelude_bytes = int.from_bytes(plaintext[:4])
    end = 4 + prelude_bytes
    return [
        Piece(plaintext[:4], f"length of the prelude, {prelude_bytes}"),
        Piece(plaintext[4:end], "prelude, JSON: the entity's key, and requests that were answered"),
        Piece(plaintext[end:], "the document, as the client sent it"),
    ]


def page() -> str:
    """Return the page."""
    raw = example()
    outside, inside = pieces(raw), pieces_inside(raw)
    tree = (
        (_DOCS / "design.md").read_text().partition("## 3. On disk\n")[2].partition("\nFiles have")
    )
    formats = (_DOCS / "security.md").read_text().partition("## 4. Formats, byte by byte\n")[2]
    return "\n".join(
        [
            f"# On-disk format\n\n{_ABOUT}\n\n## Where what lies\n\n{tree[0].strip(chr(10))}\n",
            f"## A stored entity, taken apart\n\n{_EXAMPLE.format(size=len(raw))}\n",
            _table(outside),
            f"The header:\n\n```json\n{_text(outside[3].raw)}\n```\n",
            "Inside the ciphertext:\n",
            _table(inside),
            f"The prelude and the document:\n\n```json\n{_text(inside[1].raw)}",
            f"{_text(inside[2].raw)}\n```\n",
            "The sidecar that lies beside it:\n",
            f"```json\n{_text(blob.sidecar(blob.parse(raw))).strip()}\n```\n",
            "## All formats\n",
            formats.partition("\n## 5. ")[0].replace("](examples/", "](../examples/").strip(),
            "",
        ]
    )


def _table(some: list[Piece]) -> str:
    lines, offset = ["| offset | size | bytes | what |", "|---|---|---|---|"], 0
    for one in some:
        shown = one.raw[:_SHOWN_BYTES].hex(" ") + (" ..." if len(one.raw) > _SHOWN_BYTES else "")
        said = f"*{one.said}*" if one.is_readable else one.said
        lines.append(f"| {offset} | {len(one.raw)} | `{shown}` | {said} |")
        offset += len(one.raw)
    return "\n".join(lines) + "\n"


def _text(raw: bytes) -> str:
    return raw.decode()
