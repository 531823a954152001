"""`python -m strongroom.rpc.probe`: ask a gRPC server of ours whether it serves.

What `grpc_health_probe` does for containers, with its exit codes
(https://github.com/grpc-ecosystem/grpc-health-probe). Where the server is and whose certificate it
has is told by the environment that it was started with: a Processing Worker at
`STRONGROOM_LISTEN_PORT`, or else a Main Worker at `STRONGROOM_SUBSCRIPTION_LISTEN`; both over
mutual TLS, with the server's own certificate.

    0  SERVING
    1  the command or the environment is wrong
    2  no connection within the time
    3  the call failed
    4  not SERVING
"""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from strongroom.clock import SystemClock
from strongroom.errors import UnavailableError
from strongroom.identity import Identity, LiveIdentity
from strongroom.rpc import tls

_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_BAD_USAGE, _NO_CONNECTION, _FAILED, _NOT_SERVING = 1, 2, 3, 4


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(_BAD_USAGE, f"probe: {message}\n")


def main() -> int:
    """Ask once."""
    parser = _Parser(prog="python -m strongroom.rpc.probe")
    parser.add_argument("--service", default="", help="a service's full name; the server's itself")
    parser.add_argument("--timeout", type=float, default=3.0, help="seconds for each of two steps")
    given = parser.parse_args()
    try:
        address = _address(os.environ)
        files = [Path(os.environ[f"STRONGROOM_{n}_FILE"]) for n in ("CA", "CERTIFICATE", "KEY")]
        held = LiveIdentity(Identity(*files), SystemClock()).current()
        worker_id = os.environ.get("STRONGROOM_WORKER_ID")
        # One that found its name at its start has it in its certificate, as a Main Worker has.
        name = tls.worker_name(worker_id) if worker_id else held.certificate.names[0]
    except (KeyError, IndexError) as error:
        sys.stderr.write(f"probe: {error} is needed\n")
        return _BAD_USAGE
    except UnavailableError as error:
        sys.stderr.write(f"probe: {error.detail}\n")
        return _BAD_USAGE
    channel = tls.channel(held, address, name)
    with channel:
        return _ask(channel, given.service, given.timeout)


def _address(environment: Mapping[str, str]) -> str:
    """Return where the server listens on this machine."""
    port = environment.get("STRONGROOM_LISTEN_PORT")
    if not port:
        port = environment["STRONGROOM_SUBSCRIPTION_LISTEN"].rpartition(":")[2]
    return f"127.0.0.1:{port}"


def _ask(channel: grpc.Channel, service: str, timeout_s: float) -> int:
    try:
        grpc.channel_ready_future(channel).result(timeout_s)
    except grpc.FutureTimeoutError:
        sys.stderr.write("probe: no connection\n")
        return _NO_CONNECTION
    request = health_pb2.HealthCheckRequest(service=service)
    # The stubs of the stub name no method.
    stub: Any = health_pb2_grpc.HealthStub(channel)
    try:
        answer = stub.Check(request, timeout=timeout_s)
    except grpc.RpcError as error:
        sys.stderr.write(f"probe: {error.code().name}\n")
        return _FAILED
    if answer.status != _SERVING:
        name = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        sys.stderr.write(f"probe: {name}\n")
        return _NOT_SERVING
    return 0


if __name__ == "__main__":
    sys.exit(main())
