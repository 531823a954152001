"""What Lambda does with a package, on this machine: unpack, start, hand events over.

A function finds /var/task, /opt/python and AWS's own runtime on its path, nothing else; here they
are three folders. `awslambdaric` is the runtime client that AWS ships; it asks the Runtime API,
which is served here, for events, and answers them there
(https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html).
"""

import base64
import importlib.util
import json
import queue
import shutil
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlsplit

from strongroom.clock import SystemClock

ANSWER_S: Final = 30.0
_INVOCATION: Final = "/2018-06-01/runtime/invocation/"
_RUNTIME: Final = ("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")


class LambdaError(Exception):
    """The function answered with an error, or could not be initialized."""


@dataclass
class Sandbox:
    """The folders that a function sees, below one directory."""

    directory: Path

    @property
    def task(self) -> Path:
        """The place of /var/task."""
        return self.directory / "task"

    @property
    def layer(self) -> Path:
        """The place of /opt."""
        return self.directory / "opt"

    @property
    def runtime(self) -> Path:
        """The place of /var/runtime."""
        return self.directory / "runtime"

    def unpack(self, function: Path, layer: Path) -> "Sandbox":
        """Unpack both zip files, and put AWS's runtime client beside them."""
        for archive, folder in ((function, self.task), (layer, self.layer)):
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(folder)
        self.runtime.mkdir()
        for name in _RUNTIME:
            found = importlib.util.find_spec(name)
            assert found is not None
            assert found.origin is not None
            origin = Path(found.origin)
            if found.submodule_search_locations:
                shutil.copytree(origin.parent, self.runtime / origin.parent.name)
            else:
                shutil.copy(origin, self.runtime)
        return self


class LambdaFunction:
    """One execution environment: a process under awslambdaric, and the Runtime API that it asks."""

    def __init__(
        self, sandbox: Sandbox, environment: Mapping[str, str], handler: str = "app.app"
    ) -> None:
        """Start nothing yet."""
        self._sandbox = sandbox
        self._environment = dict(environment)
        self._handler = handler
        self._api = _RuntimeApi()
        self._process: subprocess.Popen[bytes] | None = None
        self.log = sandbox.directory / f"{uuid.uuid4().hex}.log"
        self.started_s = 0.0

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        """Start the process; it initializes, and asks for its first event."""
        path = [self._sandbox.task, self._sandbox.layer / "python", self._sandbox.runtime]
        environment = {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": ":".join(map(str, path)),
            # /var/task and /opt are read-only: nobody keeps what was compiled.
            "PYTHONDONTWRITEBYTECODE": "1",
            "LAMBDA_TASK_ROOT": str(self._sandbox.task),
            "AWS_LAMBDA_FUNCTION_NAME": "strongroom",
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            **self._environment,
        }
        self.started_s = time.monotonic()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - AWS's runtime client
                [sys.executable, "-S", "-s", "-m", "awslambdaric", self._handler],
                cwd=self._sandbox.task,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(self, *exception: object) -> None:
        """End the process."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._api.close()

    def invoke(self, event: Mapping[str, Any], remaining_s: float = 29.0) -> dict[str, Any]:
        """Hand an event over and return the answer.

        Raises:
            LambdaError: The function failed, or did not answer in time.
        """
        invocation = self._api.hand_over(event, remaining_s)
        ends_s = time.monotonic() + ANSWER_S
        while not invocation.is_answered.wait(0.05):
            if self._process is None or self._process.poll() is not None:
                raise LambdaError(self.log.read_text())
            if time.monotonic() > ends_s:
                raise LambdaError("no answer")
        if invocation.failure is not None:
            raise LambdaError(invocation.failure + self.log.read_text())
        answer: dict[str, Any] = json.loads(invocation.answer)
        return answer


@dataclass
class _Invocation:
    event: bytes
    deadline_ms: int
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    is_answered: threading.Event = field(default_factory=threading.Event)
    answer: bytes = b""
    failure: str | None = None


class _RuntimeApi:
    """Serves the Runtime API on a loopback port."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[_Invocation] = queue.SimpleQueue()
        self._handed_over: dict[str, _Invocation] = {}
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle(self) -> None:
                # The function is killed while it waits for its next event.
                with suppress(ConnectionError):
                    super().handle()

            def do_GET(self) -> None:
                api.next(self)

            def do_POST(self) -> None:
                api.take(self)

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def hand_over(self, event: Mapping[str, Any], remaining_s: float) -> _Invocation:
        deadline_ms = int((SystemClock().wall_ms() / 1000 + remaining_s) * 1000)
        invocation = _Invocation(json.dumps(event).encode(), deadline_ms)
        self._handed_over[invocation.request_id] = invocation
        self._waiting.put(invocation)
        return invocation

    def next(self, handler: BaseHTTPRequestHandler) -> None:
        invocation = self._waiting.get()
        handler.send_response(200)
        handler.send_header("Lambda-Runtime-Aws-Request-Id", invocation.request_id)
        handler.send_header("Lambda-Runtime-Deadline-Ms", str(invocation.deadline_ms))
        handler.send_header(
            "Lambda-Runtime-Invoked-Function-Arn",
            "arn:aws:lambda:us-east-1:123456789012:function:strongroom",
        )
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(invocation.event)))
        handler.end_headers()
        handler.wfile.write(invocation.event)

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        request_id, _, outcome = handler.path.removeprefix(_INVOCATION).partition("/")
        invocation = self._handed_over.pop(request_id, None)
        if invocation is not None:
            if outcome == "response":
                invocation.answer = body
            else:
                invocation.failure = body.decode()
            invocation.is_answered.set()
        handler.send_response(202)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def api_gateway_event(
    method: str,
    url: str,
    *,
    resource: str,
    parameters: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> dict[str, Any]:
    """Return the event that API Gateway makes of a request to a REST API (proxy format 1.0).

    Binary media types are `*/*`, so a body comes in base64
    (https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html).
    """
    parts = urlsplit(url)
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        query.setdefault(name, []).append(value)
    all_headers = {"Host": "abc123.execute-api.us-east-1.amazonaws.com", **(headers or {})}
    return {
        "resource": resource,
        "path": parts.path,
        "httpMethod": method,
        "headers": all_headers,
        "multiValueHeaders": {name: [value] for name, value in all_headers.items()},
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": dict(parameters) if parameters else None,
        "stageVariables": None,
        "requestContext": {
            "resourceId": "123456",
            "resourcePath": resource,
            "httpMethod": method,
            "extendedRequestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "requestTime": "29/Nov/2026:12:00:00 +0000",
            "path": f"/v1{parts.path}",
            "accountId": "123456789012",
            "protocol": "HTTP/1.1",
            "stage": "v1",
            "domainPrefix": "abc123",
            "requestTimeEpoch": 1795953600000,
            "requestId": str(uuid.uuid4()),
            "identity": {"sourceIp": "192.0.2.1", "userAgent": "curl/8.0"},
            "domainName": "abc123.execute-api.us-east-1.amazonaws.com",
            "apiId": "abc123",
        },
        "body": None if body is None else base64.b64encode(body).decode(),
        "isBase64Encoded": body is not None,
    }


def environment_of(pid: int) -> dict[str, str]:
    """Return the settings of a process, for a function that is to be another of its kind.

    A process that was forked does not show them: `strongroom up --no-fork`.
    """
    raw = Path(f"/proc/{pid}/environ").read_bytes().decode()
    entries = (entry.partition("=") for entry in raw.split("\0") if entry)
    return {name: value for name, _, value in entries if name.startswith(("STRONGROOM_", "AWS_"))}
