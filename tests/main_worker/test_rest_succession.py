"""The process that serves REST is succeeded by another one, and no client notices."""

import http.client
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.deployment import is_alive, kill, wait_until

SECONDS = 30.0
# One in so many that go the wrong way by chance would be seen.
MANY = 20


@dataclass(frozen=True)
class Server:
    """A running server: its first process, and the directory by which it is told things."""

    process: subprocess.Popen[bytes]
    directory: Path

    def connected(self) -> http.client.HTTPConnection:
        """Return a new connection on which nothing was asked yet."""
        port = int((self.directory / "port").read_text())
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        connection.connect()
        return connection

    def served_by(self) -> int:
        """Return the pid of whoever serves a new connection."""
        connection = self.connected()
        try:
            return asked(connection)[0]
        finally:
            connection.close()

    def is_up(self) -> bool:
        """Tell whether anybody serves."""
        with suppress(OSError):
            return self.served_by() > 0
        return False

    def started(self) -> set[int]:
        """Return the pids of all processes that were to serve."""
        return {int(path.name.partition("-")[2]) for path in self.directory.glob("started-*")}

    def started_next(self, before: set[int]) -> int:
        """Return the pid of the process that is started now; raises AssertionError."""
        assert wait_until(lambda: self.started() > before, SECONDS)
        (pid,) = self.started() - before
        return pid


def asked(connection: http.client.HTTPConnection) -> tuple[int, bool]:
    """Ask on a connection; return the pid of who answers, and whether it is to be the last one."""
    connection.request("GET", "/")
    with connection.getresponse() as answer:
        return int(answer.read()), answer.getheader("Connection") == "close"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server, in processes of its own."""
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "tests.support.succeeding", str(tmp_path)],
        cwd=Path(__file__).parents[2],
    )
    running = Server(process, tmp_path)
    try:
        assert wait_until((tmp_path / "port").exists, SECONDS)
        assert wait_until(running.is_up, SECONDS)
        yield running
        process.terminate()
        assert process.wait(SECONDS) == 0
        assert not [pid for pid in running.started() if is_alive(pid)]
    finally:
        process.kill()
        process.wait()
        for pid in running.started():
            if is_alive(pid):
                kill(pid)


def succeeded(server: Server, former: int) -> int:
    """Have a process succeed another one, under clients that must not notice; return its pid."""
    quiet = [server.connected() for _ in range(MANY)]
    busy = server.connected()
    assert asked(busy) == (former, False)
    (server.directory / "hold").touch()
    known = server.started()
    os.kill(server.process.pid, signal.SIGHUP)
    successor = server.started_next(known)
    # It takes longer to start than granian would wait for it.
    assert not wait_until(lambda: not server.is_up(), 0.5)
    assert {server.served_by() for _ in range(MANY)} == {former}
    (server.directory / "hold").unlink()
    assert wait_until(lambda: server.served_by() == successor, SECONDS)
    # From now on nobody comes to the one that is about to go ...
    assert {server.served_by() for _ in range(MANY)} == {successor}
    # ... and whoever is there asks once more, and is told to come back by another way.
    assert [asked(one) for one in (*quiet, busy)] == [(former, True)] * (MANY + 1)
    return successor


def test_whoever_has_connected_is_answered(server: Server) -> None:
    """Clients get no answer while a certificate is taken over, and do not know what was done."""
    first = server.served_by()
    second = succeeded(server, first)
    assert wait_until(lambda: not is_alive(first), SECONDS)
    assert {server.served_by() for _ in range(MANY)} == {second}
    succeeded(server, second)


def test_a_successor_that_does_not_start_changes_nothing(server: Server) -> None:
    """A key provider that is away while a certificate is replaced takes the REST face down."""
    former = server.served_by()
    known = server.started()
    (server.directory / "fail").touch()
    os.kill(server.process.pid, signal.SIGHUP)
    # Not given up after the first one.
    assert wait_until(lambda: len(server.started()) >= len(known) + 2, SECONDS)
    assert {server.served_by() for _ in range(MANY)} == {former}
    (server.directory / "fail").unlink()
    assert wait_until(lambda: server.served_by() != former, SECONDS)


def test_a_successor_that_cannot_be_started_changes_nothing(server: Server) -> None:
    """A machine that is short of something for a moment takes the REST face down for good."""
    former = server.served_by()
    own = server.process.pid
    _, most = resource.prlimit(own, resource.RLIMIT_NOFILE)
    resource.prlimit(own, resource.RLIMIT_NOFILE, (0, most))
    os.kill(own, signal.SIGHUP)
    assert not wait_until(lambda: server.process.poll() is not None, 1.5)
    assert {server.served_by() for _ in range(MANY)} == {former}
    resource.prlimit(own, resource.RLIMIT_NOFILE, (most, most))
    assert wait_until(lambda: server.served_by() != former, SECONDS)


def test_it_can_be_ended_while_a_successor_starts(server: Server) -> None:
    """A deployment that is stopped in this moment waits to be killed, or leaves a process."""
    known = server.started()
    (server.directory / "hold").touch()
    os.kill(server.process.pid, signal.SIGHUP)
    successor = server.started_next(known)
    server.process.terminate()
    assert server.process.wait(SECONDS) == 0
    assert not is_alive(successor)
