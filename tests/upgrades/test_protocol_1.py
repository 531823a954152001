"""A program that speaks the protocol of version 1 is understood for ever, and understands.

`protocol-1.binpb` is that protocol, frozen (`tests/support/frozen_protocol.py`). A worker or a
client of that version runs beside those of this one: while a deployment is updated, and for as long
as a client is not.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.support import frozen_protocol

FROZEN = frozen_protocol.read(Path(__file__).parent / "protocol-1.binpb")
PRESENT = frozen_protocol.present()
OURS = "strongroom_pb"
DEPTH_MAX = 4
# No version will ever give a field this number.
UNKNOWN_FIELD = b"\xfa\xff\xff\x7f\x04more"


def shapes(files: descriptor_pb2.FileDescriptorSet) -> dict[str, object]:
    """Return what of a protocol must not change: by name, what it is on the wire or to a caller."""
    found: dict[str, object] = {}
    for file in files.file:
        if not file.package.startswith(OURS):
            continue
        for enum in file.enum_type:
            found |= _enum(f"{file.package}.{enum.name}", enum)
        for message in file.message_type:
            found |= _message(f"{file.package}.{message.name}", message)
        for service in file.service:
            for method in service.method:
                found[f"{file.package}.{service.name}/{method.name}"] = (
                    method.input_type,
                    method.output_type,
                    method.client_streaming,
                    method.server_streaming,
                )
    return found


def _enum(name: str, enum: descriptor_pb2.EnumDescriptorProto) -> dict[str, object]:
    return {f"{name}.{value.name}": value.number for value in enum.value}


def _message(name: str, message: descriptor_pb2.DescriptorProto) -> dict[str, object]:
    found: dict[str, object] = {name: "a message"}
    for field in message.field:
        oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
        shape = (field.name, field.type, field.label, field.type_name, oneof)
        found[f"{name}#{field.number}"] = shape
    for enum in message.enum_type:
        found |= _enum(f"{name}.{enum.name}", enum)
    for nested in message.nested_type:
        found |= _message(f"{name}.{nested.name}", nested)
    return found


def reserved(files: descriptor_pb2.FileDescriptorSet) -> set[str]:
    """Return the fields that were given up, and whose numbers are not used again."""
    return {
        f"{file.package}.{message.name}#{number}"
        for file in files.file
        for message in file.message_type
        for span in message.reserved_range
        for number in range(span.start, span.end)
    }


def broken(then: dict[str, object], now: dict[str, object], given_up: set[str]) -> dict[str, Any]:
    """Return what is not what it was."""
    changed = {
        name: (shape, now.get(name)) for name, shape in then.items() if now.get(name) != shape
    }
    return {name: both for name, both in changed.items() if name not in given_up or both[1]}


def test_nothing_is_renumbered_retyped_or_removed() -> None:
    """While a deployment is updated, old and new processes read each other's messages wrongly."""
    assert broken(shapes(FROZEN), shapes(PRESENT), reserved(PRESENT)) == {}


def _mutants() -> Iterator[tuple[str, descriptor_pb2.FileDescriptorSet]]:
    """Yield protocols that a program of version 1 would misread."""
    for name in ("renumbered", "retyped", "removed", "reused", "method", "streamed", "enum"):
        made = descriptor_pb2.FileDescriptorSet()
        made.CopyFrom(FROZEN)
        (file,) = [one for one in made.file if one.name.endswith("/processing.proto")]
        (message,) = [one for one in file.message_type if one.name == "ProcessRequest"]
        (operation,) = [one for one in file.enum_type if one.name == "Operation"]
        method = file.service[0].method[0]
        match name:
            case "renumbered":
                message.field[0].number = 99
            case "retyped":
                message.field[0].type = descriptor_pb2.FieldDescriptorProto.TYPE_INT64
            case "removed":
                del message.field[0]
            case "reused":
                message.reserved_range.add(start=1, end=2)
            case "method":
                method.name = "Other"
            case "streamed":
                method.server_streaming = True
            case "enum":
                operation.value[1].number = 99
        yield name, made


@pytest.mark.parametrize(("change", "files"), list(_mutants()))
def test_what_would_be_misread_is_noticed(
    change: str, files: descriptor_pb2.FileDescriptorSet
) -> None:
    """A change of the protocol passes that breaks every deployment at its next update."""
    found = broken(shapes(FROZEN), shapes(files), reserved(files))
    # A field that is reserved and still there is one that is used.
    assert bool(found) is (change != "reused")


def test_a_field_that_was_given_up_keeps_its_number() -> None:
    """A number is used again: an old program takes the new field for the old one."""
    files = descriptor_pb2.FileDescriptorSet()
    files.CopyFrom(FROZEN)
    (file,) = [one for one in files.file if one.name.endswith("/processing.proto")]
    (message,) = [one for one in file.message_type if one.name == "ProcessRequest"]
    del message.field[0]
    message.reserved_range.add(start=1, end=2)
    assert broken(shapes(FROZEN), shapes(files), reserved(files)) == {}
    message.field.add(name="other", number=1, type=9, label=1)
    assert broken(shapes(FROZEN), shapes(files), reserved(files)) != {}


# -- messages, read by the other version -----------------------------------------------------------


def _classes(files: descriptor_pb2.FileDescriptorSet) -> dict[str, type[Message]]:
    """Return the messages of a protocol, by name."""
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
    return {
        f"{file.package}.{message.name}": message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"{file.package}.{message.name}")
        )
        for file in files.file
        if file.package.startswith(OURS)
        for message in file.message_type
    }


OLD, NEW = _classes(FROZEN), _classes(PRESENT)


def _fill(message: Message, depth: int = 0) -> None:
    """Set every field of a message, as deep as it is not the same again."""
    for field in message.DESCRIPTOR.fields:
        held = getattr(message, field.name)
        if field.message_type is not None:
            if depth == DEPTH_MAX or field.message_type.GetOptions().map_entry:
                continue
            _fill(held.add() if field.is_repeated else held, depth + 1)
            if not field.is_repeated:
                held.SetInParent()
        elif field.is_repeated:
            held.append(_value(field))
        else:
            setattr(message, field.name, _value(field))


def _value(field: Any) -> object:  # noqa: ANN401 - protobuf has two types of it
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            return b"x" if field.type == FieldDescriptor.TYPE_BYTES else "x"
        case FieldDescriptor.CPPTYPE_BOOL:
            return True
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return 0.5
    return 7


@pytest.mark.parametrize("name", sorted(OLD))
@pytest.mark.parametrize("later", [False, True], ids=["earlier to later", "later to earlier"])
def test_each_reads_past_what_the_other_has_added(name: str, *, later: bool) -> None:
    """A process refuses a message of another version, or loses of it what it does know."""
    writes, reads = (NEW, OLD) if later else (OLD, NEW)
    written = writes[name]()
    _fill(written)
    raw = written.SerializeToString(deterministic=True)
    read = reads[name].FromString(raw + UNKNOWN_FIELD)
    found = {field.name: value for field, value in read.ListFields()}
    for field, value in written.ListFields():
        if field.name in OLD[name].DESCRIPTOR.fields_by_name:
            # What a message within it holds is told by the test of that message.
            assert field.name in found
            assert field.message_type is not None or found[field.name] == value
    # Nothing of it is lost on the way back.
    assert writes[name].FromString(read.SerializeToString()) == writes[name].FromString(
        raw + UNKNOWN_FIELD
    )
