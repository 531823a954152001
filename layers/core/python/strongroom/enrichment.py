"""What the server adds to documents by their template: defaults, and values of its own.

    "x-defaults": true          at the root: members that are missing get their schema's `default`
    "x-enrich": "created_at"    on a property: RFC 3339, when the entity was created
    "x-enrich": "entity_key"    the entity's key
    "x-enrich": "uuid"          a random UUID (RFC 9562, version 4), made at creation

Values of the server are set at creation and kept from then on, whatever a client sends. Both kinds
are followed through `properties`; defaults through `items` and local references too. A default is
taken as it stands: what it contains is not filled in further.
"""

import copy
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from strongroom.errors import InvalidDocumentError
from strongroom.jsontext import JsonValue

_KEYWORD: Final = "x-enrich"
_DEFAULTS: Final = "x-defaults"


class ServerValue(StrEnum):
    """What `x-enrich` may ask for."""

    CREATED_AT = "created_at"
    ENTITY_KEY = "entity_key"
    UUID = "uuid"


Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Enrichment:
    """What a template asks of the server.

    Attributes:
        schema: The template's schema.
        fills_defaults: Whether defaults are filled in.
        server_values: Where values of the server stand, and which.
    """

    schema: JsonValue
    fills_defaults: bool
    server_values: tuple[tuple[Path, ServerValue], ...]

    def is_empty(self) -> bool:
        """Tell whether documents stay as they are."""
        return not self.fills_defaults and not self.server_values

    def apply(
        self, document: JsonValue, stored: JsonValue, entity_key: str, created_at: str
    ) -> None:
        """Complete a document in place.

        Args:
            document: The new one.
            stored: The one that it replaces, None for none.
            entity_key: Its key.
            created_at: RFC 3339, when the entity was created.
        """
        if self.fills_defaults:
            _fill(document, self.schema, self.schema)
        for path, kind in self.server_values:
            parent = _at(document, path[:-1])
            if isinstance(parent, dict):
                parent[path[-1]] = _value(kind, _at(stored, path), entity_key, created_at)


def of_schema(schema: JsonValue) -> Enrichment:
    """Return what a schema asks for.

    Raises:
        InvalidDocumentError: `x-enrich` stands where it has no effect, or asks for something else.
    """
    found = tuple(_server_values(schema, ()))
    if sum(1 for _ in _occurrences(schema)) != len(found):
        raise InvalidDocumentError(
            f"{_KEYWORD} stands on properties, reached by `properties` alone"
        )
    fills = isinstance(schema, dict) and schema.get(_DEFAULTS) is True
    return Enrichment(schema, fills, found)


def _server_values(schema: JsonValue, path: Path) -> Iterator[tuple[Path, ServerValue]]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return
    for name, child in properties.items():
        if isinstance(child, dict) and _KEYWORD in child:
            try:
                yield (*path, name), ServerValue(child[_KEYWORD])
            except ValueError:
                known = ", ".join(ServerValue)
                raise InvalidDocumentError(f"{_KEYWORD} is one of {known}") from None
        yield from _server_values(child, (*path, name))


def _occurrences(schema: JsonValue, *, is_map: bool = False) -> Iterator[None]:
    """Walk a schema for the keyword; the names below `properties` and the like are no keywords."""
    if isinstance(schema, list):
        for child in schema:
            yield from _occurrences(child)
    elif isinstance(schema, dict):
        if not is_map and _KEYWORD in schema:
            yield None
        for name, child in schema.items():
            if is_map or name not in {"const", "enum", "default", "examples"}:
                yield from _occurrences(child, is_map=not is_map and name in _MAPS)


_MAPS: Final = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"}
)


def _fill(document: JsonValue, schema: JsonValue, root: JsonValue) -> None:
    schema = _resolved(schema, root)
    if not isinstance(schema, dict):
        return
    if isinstance(document, list):
        for element in document:
            _fill(element, schema.get("items"), root)
    properties = schema.get("properties")
    if not isinstance(document, dict) or not isinstance(properties, dict):
        return
    for name, child in properties.items():
        described = _resolved(child, root)
        if name in document:
            _fill(document[name], described, root)
        elif isinstance(described, dict) and "default" in described:
            document[name] = copy.deepcopy(described["default"])


def _resolved(schema: JsonValue, root: JsonValue) -> JsonValue:
    """Follow a local reference, and what it leads to, as long as it does not turn in a circle."""
    seen: set[str] = set()
    while isinstance(schema, dict) and "default" not in schema:
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#") or reference in seen:
            break
        seen.add(reference)
        schema = _at_pointer(root, reference[1:])
    return schema


def _at_pointer(root: JsonValue, pointer: str) -> JsonValue:
    """Return what a JSON Pointer (RFC 6901) leads to, None where it leads nowhere."""
    found = root
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _at(document: JsonValue, path: Path) -> JsonValue:
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _value(kind: ServerValue, stored: JsonValue, entity_key: str, created_at: str) -> str:
    if kind == ServerValue.CREATED_AT:
        return created_at
    if kind == ServerValue.ENTITY_KEY:
        return entity_key
    return stored if isinstance(stored, str) else str(uuid.uuid4())
