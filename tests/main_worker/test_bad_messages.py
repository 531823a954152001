"""Messages that no client of ours sends, for every method of the gRPC face: never a defect.

They are made from the proto files: unknown fields, numbers and texts at their ends, values of enums
that there are not, and messages cut short anywhere. So a new method is tried at once.
"""

from collections.abc import Iterator
from typing import Any, Final

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor

from main_api.rpc import declared
from main_api.rpc.server import CLIENT_SERVICES
from tests.support.mains import MainRig
from tests.support.rpc_mains import SECONDS, Pki, ServedMain

DEFECTS: Final = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
NUMBERS: Final = {
    FieldDescriptor.TYPE_INT32: (-1, -(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-1, -(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_DOUBLE: (float("nan"), float("inf"), -1.0),
    FieldDescriptor.TYPE_ENUM: (-1, 99, 2**31 - 1),
    FieldDescriptor.TYPE_BOOL: (True,),
    FieldDescriptor.TYPE_STRING: ("", "a\x00b", "../..", "ü" * 600, "x" * 70_000, "*", "'\"]"),
    FieldDescriptor.TYPE_BYTES: (b"", b"\xff\x00", b"[" * 10_000, b"x" * 70_000),
}
# Field 1,000 in each wire type, and a group nested 200 deep.
UNKNOWN_FIELDS: Final = (
    b"\xc0\x3e\x01",
    b"\xc1\x3e" + bytes(8),
    b"\xc2\x3e\x03abc",
    b"\xc5\x3e" + bytes(4),
    b"\xc3\x3e" * 200 + b"\xc4\x3e" * 200,
)
NO_MESSAGES: Final = (b"\xff" * 12, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x02\xff\xfe", b"\x07\x00")
METHODS: Final = declared.methods(CLIENT_SERVICES)


def _messages(method: MethodDescriptor) -> Iterator[bytes]:
    """Yield messages for a method, of which most are odd."""
    kind: Any = message_factory.GetMessageClass(method.input_type)
    full = kind()
    for field in method.input_type.fields:
        for value in NUMBERS.get(field.type, ()):
            one = kind()
            if field.is_repeated:
                getattr(one, field.name).extend([value] * 3)
            else:
                setattr(one, field.name, value)
            yield one.SerializeToString()
        if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
            setattr(full, field.name, "chatdb" if field.name == "database" else "k")
    raw = full.SerializeToString()
    yield from (raw[:end] for end in range(len(raw)))
    yield from (raw + more for more in (*UNKNOWN_FIELDS, *NO_MESSAGES))


def _without_fields(method: MethodDescriptor) -> bytes:
    """Return the last message for a method, which is none."""
    return list(_messages(method))[-1]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """The deployment's certificates."""
    return Pki.make(tmp_path_factory.mktemp("pki"))


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name.split(".")[-1])
def test_an_odd_message_ends_with_a_status(pki: Pki, method: MethodDescriptor) -> None:
    """A message that a client's library would not have made ends as a defect, or stops the face."""
    rig = MainRig()
    rig.add_workers("worker-1")
    face = ServedMain(rig.main(), pki)
    metadata = (("authorization", rig.bearer(rig.add_client("admin"))),)
    try:
        with pki.client_channel(face.clients) as channel:
            make: Any = channel.unary_stream if method.server_streaming else channel.unary_unary
            call = make(declared.path(method))
            codes = {raw: _code(call, raw, metadata, method) for raw in _messages(method)}
            assert {raw[:80]: code for raw, code in codes.items() if code in DEFECTS} == {}
            assert codes[_without_fields(method)] is grpc.StatusCode.INVALID_ARGUMENT
    finally:
        face.stop()


def _code(
    call: Any,  # noqa: ANN401 - of either kind
    raw: bytes,
    metadata: tuple[tuple[str, str], ...],
    method: MethodDescriptor,
) -> grpc.StatusCode:
    try:
        answer = call(raw, metadata=metadata, timeout=SECONDS)
        if method.server_streaming:
            list(answer)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK
