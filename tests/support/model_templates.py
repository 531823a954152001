"""Templates, and what each of them means in plain Python."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tests.support.engines import SCHEMA
from tests.support.json_texts import Exact


class NewUuid:
    """Stands in an expected document for a UUID that nobody has seen yet."""

    _FORM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

    def __init__(self, seen: Iterable[str]) -> None:
        """Take those that were."""
        self._seen = frozenset(seen)

    def __eq__(self, other: object) -> bool:
        well_formed = isinstance(other, str) and self._FORM.fullmatch(other) is not None
        return well_formed and other not in self._seen

    __hash__ = None  # type: ignore[assignment]


Complete = Callable[[Exact, str, str, Exact], None]
"""Completes a document in place: (document, key, created_at, the UUID of its creation)."""


@dataclass(frozen=True)
class ModelTemplate:
    """A template.

    Attributes:
        schema: Its text.
        admits: Whether it takes a document.
        complete: What the server adds to one; None where documents stay as they are.
    """

    schema: bytes
    admits: Callable[[Exact], bool]
    complete: Complete | None = None


def _is_number(value: Exact) -> bool:
    return isinstance(value, tuple)


def _number_in_n(value: Exact) -> bool:
    return isinstance(value, dict) and ("n" not in value or _is_number(value["n"]))


def _strict(value: Exact) -> bool:
    return (
        isinstance(value, dict)
        and _is_number(value.get("n"))
        and Decimal(value["n"]) <= 1_000
        and ("kind" not in value or value["kind"] in ("note", "memo"))
    )


def _defaults(document: Exact, _key: str, _created_at: str, _uuid: Exact) -> None:
    if isinstance(document, dict):
        document.setdefault("kind", "note")
        document.setdefault("price", Decimal("1.50").as_tuple())
        if isinstance(document.get("inner"), dict):
            document["inner"].setdefault("level", Decimal(1).as_tuple())


def _server_values(document: Exact, key: str, created_at: str, uuid: Exact) -> None:
    if isinstance(document, dict):
        document |= {"id": uuid, "key": key, "made": created_at}


NUMBER: Final = ModelTemplate(SCHEMA, _number_in_n)
TEMPLATES: Final = [
    NUMBER,
    ModelTemplate(b"true", lambda _: True),
    ModelTemplate(
        b'{"type": "object", "required": ["n"], "properties":'
        b' {"n": {"type": "number", "maximum": 1000}, "kind": {"enum": ["note", "memo"]}}}',
        _strict,
    ),
    ModelTemplate(
        b'{"type": "object", "x-defaults": true, "properties": {"kind": {"default": "note"},'
        b' "price": {"default": 1.50}, "inner": {"properties": {"level": {"default": 1}}}}}',
        lambda value: isinstance(value, dict),
        _defaults,
    ),
    ModelTemplate(
        b'{"properties": {"id": {"x-enrich": "uuid"}, "key": {"x-enrich": "entity_key"},'
        b' "made": {"x-enrich": "created_at"}, "n": {"type": "number"}}}',
        lambda value: not isinstance(value, dict) or _number_in_n(value),
        _server_values,
    ),
]
