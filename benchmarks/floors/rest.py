"""`python -m benchmarks.floors.rest`: granian, a bare Chalice route, and one bare gRPC call in it.

It prints its port. Nobody is authenticated, nothing is chosen, nothing is looked at: the route
sends a request as it came to one server over mutual TLS, and answers what that one says.
"""

import argparse
import os
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import grpc
from chalice.app import Chalice, Response
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server import Server

_PREFIX: Final = "/entity/"
_ROUTE: Final = "/entity/{database}"
_CHANNEL: Final = ("ca", "certificate", "key", "address", "name")
_THREADS: Final = 16


def application() -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """Return the application; called by granian in its own process."""
    ca, certificate, key, address, name = (os.environ[f"FLOOR_{one}"] for one in _CHANNEL)
    files = (Path(one).read_bytes() for one in (ca, key, certificate))
    channel = grpc.secure_channel(
        address,
        grpc.ssl_channel_credentials(*files),
        options=[("grpc.ssl_target_name_override", name)],
    )
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/bare/Echo")
    app = Chalice("floor", configure_logs=False)

    @app.route(_ROUTE)
    def get(database: str) -> Response:
        answer = call(database.encode(), timeout=3)
        return Response(answer.decode(), {"Content-Type": "application/json"}, 200)

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        answer = app(_event(environ), None)
        body = answer["body"].encode()
        headers = [*answer["headers"].items(), ("Content-Length", str(len(body)))]
        start_response(f"{answer['statusCode']} OK", headers)
        return [body]

    return serve


def _event(environ: dict[str, Any]) -> dict[str, Any]:
    path = environ["PATH_INFO"]
    query = {name: [value] for name, value in parse_qsl(environ["QUERY_STRING"])}
    headers = {
        name[len("HTTP_") :].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    method = environ["REQUEST_METHOD"]
    return {
        "resource": _ROUTE,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueQueryStringParameters": query,
        "pathParameters": {"database": path.removeprefix(_PREFIX)},
        "stageVariables": None,
        "requestContext": {"resourcePath": _ROUTE, "httpMethod": method, "path": path},
        "body": None,
        "isBase64Encoded": False,
    }


def main() -> None:
    """Serve until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in _CHANNEL:
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    os.environ |= {f"FLOOR_{name}": getattr(given, name) for name in _CHANNEL}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(
        "benchmarks.floors.rest:application",
        factory=True,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        workers=1,
        blocking_threads=_THREADS,
        log_level=LogLevels.error,
    )

    def told() -> None:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()

    server.on_startup(told)
    server.serve()


if __name__ == "__main__":
    main()
