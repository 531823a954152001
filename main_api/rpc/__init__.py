"""The gRPC face: the client API and the subscription API."""

from strongroom.rpc import core_log

# Before any module of this package imports grpc.
core_log.silence()
