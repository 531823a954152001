"""The Processing Worker: a gRPC server that keeps encrypted JSON on the shared directory."""

from strongroom.rpc import core_log

# Before any module of this package imports grpc.
core_log.silence()
