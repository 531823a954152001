"""A client that knows nothing but the server's reflection: no stub, no message of ours.

The messages are made from descriptors that the server has sent, in a pool of their own.
"""

import base64
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

SECONDS = 30.0


class ReflectedClient:
    """Calls any method of a server by its name, with JSON as protobuf maps it."""

    def __init__(self, channel: grpc.Channel) -> None:
        """Take a channel; nothing is asked yet."""
        self._channel = channel
        self._database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = DescriptorPool(self._database)
        self.metadata: tuple[tuple[str, str], ...] = ()

    def services(self) -> list[str]:
        """Return the names of the services."""
        return list(self._database.get_services())

    def method(self, name: str) -> MethodDescriptor:
        """Return a method, `package.Service.Method`."""
        service, _, method = name.rpartition(".")
        found: MethodDescriptor = self.pool.FindServiceByName(service).methods_by_name[method]
        return found

    def rights(self, method: str) -> list[str]:
        """Return the rights that a method takes, as the option of the proto file has them."""
        options = message_factory.GetMessageClass(
            self.pool.FindMessageTypeByName("google.protobuf.MethodOptions")
        )
        option: Any = self.pool.FindExtensionByName("strongroom_pb.v1.rights")
        raw = self.method(method).GetOptions().SerializeToString()
        numbers: Any = options.FromString(raw).Extensions[option]
        values = option.enum_type.values_by_number
        return [values[number].name for number in numbers]

    def call(self, method: str, request: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """Call `package.Service.Method`; a stream is returned as a list."""
        described = self.method(method)
        takes = message_factory.GetMessageClass(described.input_type)
        answers = message_factory.GetMessageClass(described.output_type)
        path = f"/{described.containing_service.full_name}/{described.name}"
        is_stream = described.server_streaming
        kind: Any = self._channel.unary_stream if is_stream else self._channel.unary_unary
        call = kind(path, takes.SerializeToString, answers.FromString)
        message = json_format.ParseDict(dict(request), takes(), descriptor_pool=self.pool)
        answer = call(message, metadata=self.metadata, timeout=SECONDS)
        return [self._told(one) for one in answer] if is_stream else self._told(answer)

    def _told(self, message: Any) -> Any:  # noqa: ANN401 - a message of no type of ours
        return json_format.MessageToDict(
            message, preserving_proto_field_name=True, descriptor_pool=self.pool
        )


def in_json(raw: bytes) -> str:
    """Return bytes as JSON has them."""
    return base64.b64encode(raw).decode()
