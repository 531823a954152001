"""The process that serves REST, and its successor, which has the certificate that lies there now.

granian reads a certificate once, in the process that serves, and starts another one to read a new
one. It does so by time: the former one is told to go 3.5 s later, whether or not its successor has
come up, and what it has accepted and not yet been asked is closed unanswered (of 24 clients with a
new connection each time, some 10 noticed each time). Here the successor listens first, and then

    new connections    go to it alone. Each process has a listening socket of its own on the one
                       port (SO_REUSEPORT); a program in the kernel chooses the later one.
    those before       are accepted and answered by the former process, which says with each answer
                       that it closes the connection (RFC 9112 section 9.6), and is told to go when
                       whatever has been begun must have been asked.

A successor that does not come up is given up; the former process goes on as before, and another one
is started a little later.
"""

import asyncio
import ctypes
import os
import signal
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from granian.server.mp import MPServer

from main_api.rest.asgi import Receive, Scope, Send
from strongroom import limits, logs

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_DESCRIPTORS: Final = Path("/proc/self/fd")
_SO_ATTACH_REUSEPORT_CBPF: Final = 51
# One instruction, BPF_RET | BPF_K: the answer is a constant, the second one's index. Where there is
# only one, the kernel takes that (net/core/sock_reuseport.c, reuseport_select_sock).
_THE_SECOND: Final = struct.pack("HBBI", 0x06, 0, 0, 1)
_POLL_S: Final = 0.1
_log = logs.logger()


class Succession(MPServer):
    """granian's server with one process at a time, and an orderly change of it at a reload."""

    def __init__(
        self,
        build: Callable[[], Application],
        begun_s: float = limits.CONNECTION_BEGUN_SECONDS,
        retried_s: float = limits.START_RETRIED_SECONDS,
        **options: Any,  # noqa: ANN401 - granian's
    ) -> None:
        """Take what to serve, and granian's own options.

        Args:
            build: Builds the application, in the process that serves it; an exception ends that.
            begun_s: How long a connection may take to ask for something after it was accepted.
            retried_s: After how long a successor that did not come up is followed by another one.
            options: As of granian's server, the target aside.
        """
        super().__init__("", workers=1, **options)
        self._build = build
        self._begun_s, self._retried_s = begun_s, retried_s
        self._listens, self._told = Pipe(duplex=False)

    def serve_until_signal(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            SystemExit: The process that serves has ended by itself.
        """
        loader = partial(_built, self._build, self._told)
        self.serve(target_loader=loader, wrap_loader=False)

    def _respawn_workers(
        self,
        workers: list[int],  # noqa: ARG002 - granian's signature; there is one
        spawn_target: Callable[..., None],
        target_loader: Callable[[], Application],
        delay: float = 0,  # noqa: ARG002 - how long it takes is seen here, not guessed
    ) -> None:
        former: Any = self.wrks[0]
        successor: Any = self._spawn_worker(0, spawn_target, target_loader)
        # The end of one that does not serve yet, or any more, is not the end of everything.
        successor.interrupt_by_parent = True
        if self._comes_up(successor):
            successor.interrupt_by_parent = False
            self.wrks[0] = successor
            former.interrupt_by_parent = True
            with suppress(ProcessLookupError):
                os.kill(former.inner.pid, signal.SIGUSR1)
            self._pause(self._begun_s)
            # granian waits for its end in a thread; here a slow reader would hold up everything.
            former.terminate()
        else:
            if successor.inner.pid is not None:
                successor.kill()
            if not self._is_ending():
                _log.error("successor-not-started", pid=successor.inner.pid)
                # Without a thread: there may be no room for one.
                self._pause(self._retried_s)
                self.reload_signal = True
                self.main_loop_interrupt.set()
        if self._is_ending():
            # granian clears this before it calls, and would wait for one more signal.
            self.main_loop_interrupt.set()

    def _comes_up(self, successor: Any) -> bool:  # noqa: ANN401 - granian has no types for it
        """Start it and wait until it listens.

        False where it cannot be started, ends before, takes too long, or all is to end.
        """
        try:
            successor.start()
        except (OSError, RuntimeError):
            # No process, descriptor, memory, or thread to watch it, is to be had now.
            return False
        until_s = time.monotonic() + limits.SUCCESSOR_SECONDS
        while time.monotonic() < until_s and successor.is_alive() and not self._is_ending():
            # An earlier process has told, too, and nobody has listened.
            if self._listens.poll(_POLL_S) and self._listens.recv() == successor.inner.pid:
                return bool(successor.is_alive())
        return False

    def _pause(self, pause_s: float) -> None:
        until_s = time.monotonic() + pause_s
        while time.monotonic() < until_s and not self._is_ending():
            time.sleep(_POLL_S)

    def _is_ending(self) -> bool:
        return self.interrupt_signal or bool(self.interrupt_children)


class _Leaving:
    """An application that can be told to take no further request on a connection."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._leaves = False

    def leave(self, *_: object) -> None:
        self._leaves = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # What has begun before need not say it: its connection has a few seconds to ask once more.
        await self._application(scope, receive, partial(_close, send) if self._leaves else send)


async def _close(send: Send, message: dict[str, Any]) -> None:
    if message["type"] == "http.response.start":
        message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
    await send(message)


def _built(build: Callable[[], Application], told: Connection) -> Application:
    """Build the application in a process of granian's, and tell when that listens."""
    application = _Leaving(build())
    signal.signal(signal.SIGUSR1, application.leave)
    # granian has set its loop, listens next, and then runs the loop.
    asyncio.get_event_loop().call_soon(_listening, told)
    return application


def _listening(told: Connection) -> None:
    _prefer_the_later()
    told.send(os.getpid())


def _prefer_the_later() -> None:
    """Have the kernel give new connections to the second process that listens on the port.

    The choice is the port's, not the process's: it is made before there is a second one. A kernel
    that does not know of it shares them out.
    """
    program = ctypes.create_string_buffer(_THE_SECOND)
    choice = struct.pack("HP", 1, ctypes.addressof(program))
    for path in _DESCRIPTORS.iterdir():
        if not path.is_socket():
            continue
        # Another thread may have closed it by now.
        with suppress(OSError):
            one = socket.socket(fileno=int(path.name))
            try:
                if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    one.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, choice)
            finally:
                # It stays granian's.
                one.detach()
