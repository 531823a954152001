"""How functions are bound to the methods of a proto file."""

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor

from main_api.bootstrap import Main
from main_api.domain.caller import Caller
from main_api.rpc import declared, entity_service, methods
from main_api.rpc.server import CLIENT_SERVICES
from strongroom_pb.v1 import entity_pb2, subscription_pb2
from tests.support.mains import MainRig

METHODS = entity_service.METHODS
WORDS = {"client", "read", "write", "delete", "admin", "everywhere"}


def bind(functions: tuple[methods.Method, ...], descriptor: ServiceDescriptor) -> None:
    """Make what serves a service."""
    methods.service(MainRig().main(), descriptor, functions)


def test_a_method_without_a_function_is_noticed_at_the_start() -> None:
    """A method that the proto file promises is unimplemented, and nobody knows before a client."""
    with pytest.raises(TypeError, match="BatchDeleteEntities"):
        bind(METHODS[:-1], entity_service.DESCRIPTOR)


def test_a_function_without_a_method_is_noticed_at_the_start() -> None:
    """A function is written, and its method not declared: nobody can call it."""

    def undelete_entity(
        main: Main, caller: Caller, request: entity_pb2.GetEntityRequest
    ) -> entity_pb2.Entity:
        raise AssertionError((main, caller, request))

    with pytest.raises(TypeError, match="UndeleteEntity"):
        bind((*METHODS, undelete_entity), entity_service.DESCRIPTOR)


def test_a_function_of_other_messages_is_noticed_at_the_start() -> None:
    """A function reads a request as something that it is not."""

    def get_entity(
        main: Main, caller: Caller, request: entity_pb2.DeleteEntityRequest
    ) -> entity_pb2.Entity:
        raise AssertionError((main, caller, request))

    with pytest.raises(TypeError, match="GetEntity"):
        bind((get_entity, *METHODS[1:]), entity_service.DESCRIPTOR)


def test_a_method_that_declares_no_right_is_noticed_at_the_start() -> None:
    """A new method is served, and nobody has said who may call it."""
    file = descriptor_pb2.FileDescriptorProto(
        name="undeclared.proto",
        package="undeclared",
        dependency=[entity_pb2.DESCRIPTOR.name],
        service=[
            descriptor_pb2.ServiceDescriptorProto(
                name="Undeclared",
                method=[
                    descriptor_pb2.MethodDescriptorProto(
                        name="GetEntity",
                        input_type=".strongroom_pb.v1.GetEntityRequest",
                        output_type=".strongroom_pb.v1.Entity",
                    )
                ],
            )
        ],
    )
    pool = descriptor_pool.Default()
    service = pool.AddSerializedFile(file.SerializeToString()).services_by_name["Undeclared"]
    with pytest.raises(TypeError, match="GetEntity does not declare"):
        bind(METHODS[:1], service)


def test_every_method_declares_what_it_takes() -> None:
    """Who may call a method cannot be told from the proto files."""
    for method in declared.methods(CLIENT_SERVICES):
        assert declared.rights(method), method.full_name
        assert declared.rights(method) <= WORDS, method.full_name
    for method in subscription_pb2.DESCRIPTOR.services_by_name["SubscriptionService"].methods:
        assert declared.rights(method) == {"worker"}, method.full_name


def test_what_changes_something_is_not_declared_to_read_only() -> None:
    """A change is refused for the size of its answer when it has taken place."""
    only_read = {m.name for m in declared.methods(CLIENT_SERVICES) if declared.only_reads(m)}
    reading = (
        "Get",
        "BatchGet",
        "List",
        "Stream",
        "Ask",
        "Transform",
        "Validate",
        "DryRun",
        "Explain",
    )
    assert {name for name in only_read if not name.startswith(reading)} == set()
    assert {"GetEntity", "BatchGetEntities", "ListEntities", "TransformEntity"} <= only_read
