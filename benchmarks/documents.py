"""The document that the figures are about: 1.1 KB, as a chat has them, and the template of it."""

from typing import Final

_TURNS: Final = (
    ("user", "Which papers of ours cite the 1998 report, and who has read them since? " * 5),
    ("assistant", "Three of them do; the last one was read on Monday by two people. " * 9),
)
SCHEMA: Final = (
    b'{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",'
    b' "required": ["chat"], "properties": {"chat": {"type": "array", "items": {"type": "object",'
    b' "required": ["type", "text"], "properties": {"type": {"enum": ["user", "assistant"]},'
    b' "text": {"type": "string"}}}}}}'
)


def document(number: int = 0, size_bytes: int = 1_100) -> bytes:
    """Return a document of about `size_bytes`, which no other number has."""
    turns = [f'{{"type": "user", "text": "{number}"}}']
    turns += [f'{{"type": "{who}", "text": "{text}"}}' for who, text in _TURNS]
    short = '{"chat": [' + ", ".join(turns)
    more = size_bytes - len(short) - len(', {"type": "user", "text": ""}]}')
    if more < 0:
        return b'{"chat": [%s]}' % turns[0].encode()
    return f'{short}, {{"type": "user", "text": "{"x" * more}"}}]}}'.encode()
