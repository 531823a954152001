"""What the proto files declare of a method: the rights that it takes, and that it only reads."""

from collections.abc import Iterable
from typing import Final

from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from strongroom_pb.v1 import common_pb2

_WITHOUT_TOKEN: Final = frozenset({"public", "client", "worker"})
_PREFIX: Final = "RIGHT_"


def rights(method: MethodDescriptor) -> frozenset[str]:
    """Return the rights that a method takes, in lower case: "read", "public", "everywhere" ..."""
    declared = method.GetOptions().Extensions[common_pb2.rights]
    return frozenset(_word(right) for right in declared)


def further_rights(message: Descriptor) -> frozenset[str]:
    """Return the rights that a request may take beside its method's, by the fields it has set."""
    declared = [field.GetOptions().Extensions[common_pb2.also_takes] for field in message.fields]
    return frozenset(_word(right) for rights in declared for right in rights)


def takes_token(method: MethodDescriptor) -> bool:
    """Tell whether only who sends an access token gets to a method's function."""
    return not _WITHOUT_TOKEN & rights(method)


def only_reads(method: MethodDescriptor) -> bool:
    """Tell whether a method leaves everything as it is."""
    return method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS


def path(method: MethodDescriptor) -> str:
    """Return what names a method in a request: `/package.Service/Method`."""
    return f"/{method.containing_service.full_name}/{method.name}"


def methods(services: Iterable[ServiceDescriptor]) -> list[MethodDescriptor]:
    """Return the methods of services."""
    return [method for service in services for method in service.methods]


def _word(right: common_pb2.Right.ValueType) -> str:
    return common_pb2.Right.Name(right).removeprefix(_PREFIX).lower()
