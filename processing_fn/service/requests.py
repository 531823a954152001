"""What the engine is asked for one entity, and what a read found."""

from dataclasses import dataclass

import msgspec

from processing_fn.service.patching import PatchKind
from strongroom.entity import UNCONDITIONAL, Condition, Metadata


@dataclass(frozen=True, slots=True)
class Put:
    """One entity to be created or replaced."""

    entity_key: str
    document: bytes
    condition: Condition = UNCONDITIONAL
    request_id: str = ""
    ttl_seconds: int | None = None
    validate_only: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """One entity to be deleted."""

    entity_key: str
    condition: Condition = UNCONDITIONAL
    request_id: str = ""
    validate_only: bool = False


@dataclass(frozen=True, slots=True)
class PatchRequest:
    """One entity to be changed in part."""

    entity_key: str
    kind: PatchKind
    patch: bytes
    condition: Condition = UNCONDITIONAL
    request_id: str = ""
    validate_only: bool = False


@dataclass(frozen=True, slots=True)
class TransformRequest:
    """One entity to be replaced by what an expression makes of it."""

    entity_key: str
    expression: str
    condition: Condition = UNCONDITIONAL
    request_id: str = ""
    validate_only: bool = False


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """An entity as a read found it."""

    metadata: Metadata
    document: bytes
