"""Messages of many small parts, which take far more memory than their bytes: refused unparsed."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor

from main_api.rpc import declared, wire
from main_api.rpc.server import CLIENT_SERVICES
from strongroom import limits
from strongroom.errors import InvalidArgumentError, TooLargeError
from strongroom.rpc import messages, status
from strongroom_pb.v1 import common_pb2, entity_pb2
from tests.support.mains import MainRig
from tests.support.rpc_mains import SECONDS, Pki, ServedMain

MOST = limits.MESSAGE_PARTS_MAX
BATCH = entity_pb2.BatchPutEntitiesRequest
EMPTY_ENTITY = b"\x12\x00"


def _sized(number: int, content: bytes) -> bytes:
    """Return a field that has a size."""
    size, prefix = len(content), bytearray([number << 3 | 2])
    while size > 0x7F:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes(prefix) + bytes([size]) + content


PARTS: dict[str, tuple[Any, bytes, bytes]] = {
    "messages": (BATCH, EMPTY_ENTITY * MOST, EMPTY_ENTITY),
    "texts": (entity_pb2.BatchGetEntitiesRequest, b"\x12\x00" * MOST, b"\x12\x00"),
    "numbers": (common_pb2.Condition, _sized(4, b"\x01" * (MOST - 1)), b"\x20\x01"),
    "numbers within": (
        entity_pb2.DeleteEntityRequest,
        _sized(3, _sized(4, b"\x01" * (MOST - 2))),
        b"\x22\x00",
    ),
    "unknown": (BATCH, b"\xc5\x3e\x00\x00\x00\x00" * MOST, b"\xc1\x3e" + bytes(8)),
}


@pytest.mark.parametrize("case", PARTS)
def test_a_message_has_so_many_parts_and_no_more(case: str) -> None:
    """A message of the largest size takes 130 MiB, and sixteen at a time the process's memory."""
    kind, most, one_more = PARTS[case]
    kind.FromString(most)
    wire.check(most, kind.DESCRIPTOR)
    with pytest.raises(TooLargeError):
        wire.check(most + one_more, kind.DESCRIPTOR)


def test_what_people_send_is_few_parts() -> None:
    """A document that happens to look like a message, or a full batch, is refused."""
    most = [
        entity_pb2.KeyedDocument(key=f"k{number}", document=EMPTY_ENTITY * 20_000)
        for number in range(limits.ENTITIES_PER_REQUEST_MAX)
    ]
    wire.check(
        BATCH(database="d", entities=most, ttl_seconds=1).SerializeToString(), BATCH.DESCRIPTOR
    )


@pytest.mark.parametrize("raw", [b"\x12", b"\x12\x05a", b"\x12\x80", b"\xff" * 12, b"\x0b\x0c"])
def test_what_is_no_message_is_told_so(raw: bytes) -> None:
    """Bytes that are no message end in a defect, or are walked through for ever."""
    with pytest.raises(InvalidArgumentError):
        wire.check(raw, BATCH.DESCRIPTOR)


def test_no_message_contains_itself() -> None:
    """A message could be nested as deep as it is long, and so the walk through it."""

    def below(descriptor: Descriptor, above: frozenset[str]) -> None:
        assert descriptor.full_name not in above
        for field in descriptor.fields:
            if field.message_type is not None:
                below(field.message_type, above | {descriptor.full_name})

    for method in declared.methods(CLIENT_SERVICES):
        below(method.input_type, frozenset())


def test_over_grpc_such_a_message_is_refused_unparsed(tmp_path: Path) -> None:
    """Whoever has a token, and no grant at all, fills the process's memory."""
    rig, pki = MainRig(), Pki.make(tmp_path / "pki")
    face = ServedMain(rig.main(), pki)
    metadata = (("authorization", rig.bearer(rig.add_client("nobody"))),)
    hostile = EMPTY_ENTITY * (limits.ENTITY_BYTES_MAX // len(EMPTY_ENTITY))
    try:
        with pki.client_channel(face.clients) as channel:
            call: Any = channel.unary_unary("/strongroom_pb.v1.EntityService/BatchPutEntities")
            with pytest.raises(grpc.RpcError) as refused:
                call(hostile, metadata=metadata, timeout=SECONDS)
    finally:
        face.stop()
    assert isinstance(status.from_rpc_error(refused.value), TooLargeError)


@pytest.mark.parametrize("name", ["if_one_of", "if_none_of"])
def test_a_condition_lists_so_many_versions_and_no_more(name: str) -> None:
    """A condition over gRPC lists millions of versions, where one over REST has a hundred."""
    most = list(range(1, limits.ENTITY_TAGS_MAX + 1))
    messages.to_condition(common_pb2.Condition(**{name: most}))  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError):
        messages.to_condition(common_pb2.Condition(**{name: [*most, 1]}))  # type: ignore[arg-type]
