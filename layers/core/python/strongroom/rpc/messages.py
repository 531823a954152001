"""The messages that both workers translate: an entity's condition and metadata."""

from strongroom import limits
from strongroom.entity import Condition, Metadata
from strongroom.errors import InvalidArgumentError
from strongroom_pb.v1 import common_pb2


def to_metadata(message: common_pb2.EntityMetadata) -> Metadata:
    """Return the metadata of a message."""
    return Metadata(
        version=message.version,
        created_at=message.created_at,
        updated_at=message.updated_at,
        expires_at=message.expires_at or None,
        schema_id=message.schema_id,
        schema_version=message.schema_version,
    )


def from_metadata(metadata: Metadata) -> common_pb2.EntityMetadata:
    """Return the message of metadata."""
    message = common_pb2.EntityMetadata()
    fill_metadata(message, metadata)
    return message


def fill_metadata(message: common_pb2.EntityMetadata, metadata: Metadata) -> None:
    """Write metadata into a message."""
    message.version = metadata.version
    message.created_at = metadata.created_at
    message.updated_at = metadata.updated_at
    if metadata.expires_at is not None:
        message.expires_at = metadata.expires_at
    message.schema_id = metadata.schema_id
    message.schema_version = metadata.schema_version


def to_condition(message: common_pb2.Condition) -> Condition:
    """Return the condition of a message.

    Raises:
        InvalidArgumentError: It lists more versions than an entity may be compared with.
    """
    if max(len(message.if_one_of), len(message.if_none_of)) > limits.ENTITY_TAGS_MAX:
        raise InvalidArgumentError(f"a condition lists at most {limits.ENTITY_TAGS_MAX} versions")
    kind = message.WhichOneof("kind")
    return Condition(
        if_version=message.if_version if kind == "if_version" else None,
        if_absent=kind == "if_absent" and message.if_absent,
        if_present=kind == "if_present" and message.if_present,
        if_one_of=tuple(message.if_one_of),
        if_none_of=tuple(message.if_none_of),
    )


def from_condition(condition: Condition) -> common_pb2.Condition:
    """Return the message of a condition."""
    message = common_pb2.Condition(if_one_of=condition.if_one_of, if_none_of=condition.if_none_of)
    if condition.if_version is not None:
        message.if_version = condition.if_version
    elif condition.if_absent:
        message.if_absent = True
    elif condition.if_present:
        message.if_present = True
    return message
