"""The REST face: a Chalice app, on Lambda and behind granian alike."""

from strongroom.rpc import core_log

# Before any module of this package imports grpc.
core_log.silence()
