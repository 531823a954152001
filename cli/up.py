"""`strongroom up`: a local deployment in the foreground."""

import signal
import threading
from pathlib import Path
from typing import Final

from rich.console import Console

from cli.emulation.deployment import LocalDeployment, Options
from cli.emulation.launching import Launch, Nursery, afresh
from strongroom import logs, process
from strongroom.errors import UnavailableError

_WATCH_EVERY_S: Final = 0.1
_EXAMPLE: Final = """\
Strongroom serves REST at [bold]{url}[/] and gRPC at [bold]{grpc}[/].
Encrypted files lie below {shared}, logs below {logs}.

Try it in another terminal:

  TOKEN=$(curl -s{tls} -K {curl} -d grant_type=client_credentials {url}/oauth/token \\
    | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
  curl -i{tls} -X PUT -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\
    -d '{{"Chat_id": {{"chat": [{{"type": "assistant", "text": "HERE TEXT"}}]}}}}' \\
    {url}/entity/chatdb
  curl -i{tls} -H "Authorization: Bearer $TOKEN" '{url}/entity/chatdb?key=Chat_id'

Ctrl-C stops it; what was written stays."""


def run(options: Options, ready_file: Path | None, *, fork: bool = True) -> None:
    """Serve until SIGINT or SIGTERM; with `fork` by processes that are forked.

    Raises:
        StrongroomError: A part does not start.
        OSError: The disk refuses.
    """
    if not fork:
        _serve(options, ready_file, afresh)
        return
    nursery = Nursery()
    try:
        _serve(options, ready_file, nursery.start)
    finally:
        # Its end is waited for when this process ends, and then it would not come.
        nursery.close()


def _serve(options: Options, ready_file: Path | None, launch: Launch) -> None:
    logs.configure("up")
    process.keep_memory_private()
    deployment = LocalDeployment(options, launch)
    _stop_at_signals()
    pause = threading.Event()
    try:
        deployment.start()
        _announce(deployment, ready_file)
        _greet(deployment, options)
        process.settle()
        while True:
            pause.wait(_WATCH_EVERY_S)
            _watch(deployment, ready_file)
    except _StoppedError:
        pass
    finally:
        _ignore_signals()
        deployment.stop()
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)


class _StoppedError(Exception):
    """A signal has come."""


def _stop_at_signals() -> None:
    def stop(*_: object) -> None:
        # One is enough: a second one must not interrupt the stopping.
        _ignore_signals()
        raise _StoppedError

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _watch(deployment: LocalDeployment, ready_file: Path | None) -> None:
    try:
        if deployment.watch():
            _announce(deployment, ready_file)
    except UnavailableError as error:
        Console(stderr=True).print(error.detail, markup=False)


def _announce(deployment: LocalDeployment, ready_file: Path | None) -> None:
    if ready_file is not None:
        process.announce(str(ready_file), deployment.facts())


def _greet(deployment: LocalDeployment, options: Options) -> None:
    Console(highlight=False, soft_wrap=True).print(
        _EXAMPLE.format(
            url=deployment.http_url,
            grpc=deployment.grpc_address,
            shared=deployment.shared_dir,
            logs=options.root / "run",
            curl=options.root / "admin.curl",
            tls=f" --cacert {deployment.ca_file}" if options.https else "",
        )
    )
