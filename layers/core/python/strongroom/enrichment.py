"""What the server adds to documents by their template: defaults, and values of its own.

    "x-defaults": true          at the root: members that are missing get their schema's `default`
    "x-enrich": "created_at"    on a property: RFC 3339, when the entity was created
    "x-enrich": "entity_key"    the entity's key
    "x-enrich": "uuid"          a UUID (RFC 9562, version 4) of this creation of the entity

Values of the server follow from the entity's creation, so they are the same with every write,
whatever a client sends: the UUID is cut from a MAC that only the system can make. Both kinds are
followed through `properties`; defaults through `items` and local references too. A default is taken
as it stands: what it contains is not filled in further.
"""

import copy
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from strongroom import jsontext, limits
from strongroom.crypto import mac
from strongroom.errors import InvalidDocumentError, TooLargeError
from strongroom.jsontext import JsonValue

_KEYWORD: Final = "x-enrich"
_DEFAULTS: Final = "x-defaults"
_UUID_LABEL: Final = b"strongroom/uuid/v1"


class ServerValue(StrEnum):
    """What `x-enrich` may ask for."""

    CREATED_AT = "created_at"
    ENTITY_KEY = "entity_key"
    UUID = "uuid"


Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Creation:
    """An entity's coming into being.

    Attributes:
        entity_key: Its key.
        created_at: RFC 3339.
        seed: 32 bytes that are secret and of this creation alone.
    """

    entity_key: str
    created_at: str
    seed: bytes


def some_creation(entity_key: str, created_at: str) -> Creation:
    """Return one whose values have the form that they will have, for a document that is judged."""
    return Creation(entity_key, created_at, bytes(32))


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

    def apply(self, document: JsonValue, size_bytes: int, creation: Creation) -> None:
        """Complete a document in place.

        Args:
            document: The value.
            size_bytes: The size of its text.
            creation: The entity's.

        Raises:
            TooLargeError: With its defaults it is larger than an entity may be.
        """
        if self.fills_defaults:
            _Defaults(self.schema, limits.ENTITY_BYTES_MAX - size_bytes).fill(document, self.schema)
        for path, kind in self.server_values:
            parent = _at(document, path[:-1])
            if isinstance(parent, dict):
                parent[path[-1]] = _value(kind, path, creation)


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


class _Defaults:
    """Fills defaults in, as long as there is room: a small document may have room for many."""

    def __init__(self, root: JsonValue, room_bytes: int) -> None:
        self._root = root
        self._room_bytes = room_bytes
        self._sizes: dict[int, int] = {}

    def fill(self, document: JsonValue, schema: JsonValue) -> None:
        schema = _resolved(schema, self._root)
        if not isinstance(schema, dict):
            return
        if isinstance(document, list):
            for element in document:
                self.fill(element, schema.get("items"))
        properties = schema.get("properties")
        if not isinstance(document, dict) or not isinstance(properties, dict):
            return
        for name, child in properties.items():
            described = _resolved(child, self._root)
            if name in document:
                self.fill(document[name], described)
            elif isinstance(described, dict) and "default" in described:
                document[name] = self._copy(name, described["default"])

    def _copy(self, name: str, default: JsonValue) -> JsonValue:
        size = self._sizes.get(id(default))
        if size is None:
            size = len(jsontext.dump(default))
            self._sizes[id(default)] = size
        self._room_bytes -= size + len(name)
        if self._room_bytes < 0:
            raise TooLargeError(
                f"an entity has at most {limits.ENTITY_BYTES_MAX} bytes, its defaults included"
            )
        return copy.deepcopy(default)


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


def _value(kind: ServerValue, path: Path, creation: Creation) -> str:
    if kind == ServerValue.CREATED_AT:
        return creation.created_at
    if kind == ServerValue.ENTITY_KEY:
        return creation.entity_key
    tag = mac.tag(creation.seed, _UUID_LABEL, *(part.encode() for part in path))
    return str(uuid.UUID(bytes=tag[:16], version=4))
