"""A port in front of another one that can stop answering: what arrives is taken, and that is all.

A host that is cut off from the network looks like that: connections stay, new ones are never
greeted, and nothing says so.
"""

import socket
import threading
from contextlib import suppress

_CHUNK_BYTES = 64 * 1024
_ACCEPT_S = 0.1


class BlackHole:
    """Passes connections on from one address to another, until it is told to swallow them."""

    def __init__(self, listen: tuple[str, int], target: tuple[str, int]) -> None:
        """Listen."""
        self._target = target
        self._is_open = threading.Event()
        self._stopping = threading.Event()
        self._mutex = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(listen)
        self._listener.settimeout(_ACCEPT_S)
        threading.Thread(target=self._accept, name="black-hole", daemon=True).start()

    def open(self) -> None:
        """Swallow everything from now on."""
        self._is_open.set()

    def close(self) -> None:
        """Pass on what comes from now on; what was connected meanwhile, or before, is cut."""
        self._is_open.clear()
        with self._mutex:
            connected, self._sockets = self._sockets, set()
        for one in connected:
            _cut(one)

    def stop(self) -> None:
        """Listen no longer."""
        self._stopping.set()
        self._listener.close()
        self.close()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            with self._mutex:
                self._sockets.add(client)
            if not self._is_open.is_set():
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target)
        except OSError:
            client.close()
            return
        with self._mutex:
            self._sockets.add(server)
        for source, sink in ((client, server), (server, client)):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(_CHUNK_BYTES):
                if not self._is_open.is_set():
                    sink.sendall(chunk)
        with self._mutex:
            self._sockets -= {source, sink}
        for one in (source, sink):
            _cut(one)


def _cut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
