"""`python -m benchmarks.floors.call`: a bare grpcio server on a thread pool, over mutual TLS.

It prints its port. A request is answered with the bytes of a file, or stored: the floors of a read
and of a write.
"""

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from benchmarks.floors.store import Store


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
            lambda request, _: answer(request)
        )

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """Answer every method."""
        del details
        return self._method


def main() -> None:
    """Serve until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("ca", "certificate", "key"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--answer", type=Path)
    what.add_argument("--store", type=Path)
    given = parser.parse_args()
    server = grpc.server(ThreadPoolExecutor(given.threads))
    if given.answer is not None:
        told = given.answer.read_bytes()
        server.add_generic_rpc_handlers((_Handler(lambda _: told),))
    else:
        server.add_generic_rpc_handlers((_Handler(Store(given.store).put),))
    pair = given.key.read_bytes(), given.certificate.read_bytes()
    credentials = grpc.ssl_server_credentials(
        [pair], given.ca.read_bytes(), require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
