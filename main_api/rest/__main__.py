"""`python -m main_api.rest`: the REST face behind granian, configured by its environment."""

import logging
import signal
import socket
import sys
from collections.abc import Callable
from multiprocessing.util import Finalize

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from main_api import settings
from main_api.rest.app import app, current
from main_api.rest.asgi import AsgiAdapter
from main_api.rest.succession import Succession
from main_api.rest.wsgi import WsgiAdapter
from main_api.service.periodic import Periodic
from main_api.settings import RestSettings
from strongroom import limits, logs, process, spans
from strongroom.clock import SystemClock
from strongroom.errors import StrongroomError, UnavailableError
from strongroom.identity import Identity, LiveIdentity

_HEADERS_BYTES_MAX = 64 * 1024
_PROCESS = "main-worker-rest"


def application() -> AsgiAdapter:
    """Build the application in granian's worker process; called by granian."""
    # A fork of granian has its handler of SIGTERM, which would only tell the copy of it in here.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    process.die_with_parent()
    process.keep_memory_private()
    configure_logs()
    try:
        main_worker = current.start()
        exporting = spans.start(settings.spans_from_environment(), _PROCESS)
    except StrongroomError as error:
        sys.stderr.write(f"main_api.rest: {error.detail}\n")
        raise SystemExit(1) from error
    main_worker.key_health.start()
    main_worker.audit.start("rest", **process.facts())
    # What ends a process of multiprocessing runs no function of atexit.
    Finalize(None, main_worker.audit.close, exitpriority=0)
    if exporting is None:
        adapter = AsgiAdapter(WsgiAdapter(app), app.require_client)
    else:
        # Imported where it is needed: without a collector nothing of this is there.
        from main_api.rest.traced import SpannedApp  # noqa: PLC0415

        Finalize(None, exporting.close, exitpriority=0)
        main_worker.workers.trace()
        spanned = SpannedApp(app, exporting.tracer)
        adapter = AsgiAdapter(WsgiAdapter(spanned), app.require_client)
    adapter.give(app.metrics)
    return adapter


def configure_logs() -> None:
    """Set logging up in granian's worker process, where granian has done so already."""
    logs.configure(_PROCESS)
    # It prints what it catches of ours with its text, which may quote a document.
    logging.getLogger("_granian").handlers = [logs.LibraryHandler()]


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    process.die_with_parent()
    process.keep_memory_private()
    process.settle()
    logs.configure(_PROCESS)
    try:
        configured = settings.rest_from_environment()
        certificate = _certificate(configured)
        reserved = _reserve(configured.host, configured.port)
    except StrongroomError as error:
        sys.stderr.write(f"main_api.rest: {error.detail}\n")
        return 1
    port = reserved.getsockname()[1]
    server = Succession(
        application,
        address=configured.host,
        port=port,
        interface=Interfaces.ASGINL,
        # HTTP/2 would let one connection have 200 requests, and a megabyte of window for each.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(max_buffer_size=_HEADERS_BYTES_MAX),
        backlog=limits.MAIN_CONNECTIONS_MAX,
        backpressure=limits.MAIN_CONNECTIONS_MAX,
        ssl_cert=configured.certificate_file,
        ssl_key=configured.key_file,
        log_level=LogLevels.error,
    )
    if certificate is not None:
        _follow(certificate, server.signal_handler_reload)
    process.become_parent()
    process.announce(configured.ready_file, {"port": port})
    server.serve_until_signal()
    return 0


def _certificate(configured: RestSettings) -> LiveIdentity | None:
    """Return what clients are shown, where the face serves TLS itself.

    Raises:
        UnavailableError: It is of no use.
    """
    if configured.certificate_file is None or configured.key_file is None:
        return None
    # Clients show no certificates: there is no authority to ask.
    certificate_file = configured.certificate_file
    files = Identity(certificate_file, certificate_file, configured.key_file)
    identity = LiveIdentity(files, SystemClock())
    identity.current()
    return identity


def _follow(certificate: LiveIdentity, reload: Callable[[], object]) -> None:
    """Have a successor take over when the certificate is replaced."""
    served = certificate.current()

    def check() -> None:
        nonlocal served
        if certificate.current() is not served:
            served = certificate.current()
            reload()

    Periodic("certificate", limits.CERTIFICATE_REREAD_SECONDS, check).start()


def _reserve(host: str, port: int) -> socket.socket:
    """Bind the port without listening, so that granian (SO_REUSEPORT) finds it free.

    Raises:
        UnavailableError: Somebody else has it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # Without SO_REUSEPORT: a second deployment must not share the first one's port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            port = probe.getsockname()[1]
        reserved = socket.socket(family, socket.SOCK_STREAM)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((host, port))
    except OSError as error:
        raise UnavailableError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return reserved


if __name__ == "__main__":
    sys.exit(main())
