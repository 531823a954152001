"""Child processes: started, watched, restarted, ended."""

import socket
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cli.emulation.launching import Launch, Order, Running
from strongroom import durable, jsontext, limits
from strongroom.clock import Clock
from strongroom.errors import UnavailableError

_POLL_S: Final = 0.02
_STOP_S: Final = 8.0
_BACKOFF_FIRST_S: Final = 0.1
_BACKOFF_LONGEST_S: Final = 5.0
_HEALTHY_AFTER_S: Final = 10.0
_LOG_TAIL_BYTES: Final = 2_000


@dataclass
class Child:
    """One process of the deployment: `python -m <module>` with an environment.

    Attributes:
        name: Names its log and its ready file.
        module: What to run.
        environment: Its whole environment.
        run_dir: Where log and ready file lie.
        clock: Measures its life.
        launch: How it is started.
    """

    name: str
    module: str
    environment: dict[str, str]
    run_dir: Path
    clock: Clock
    launch: Launch
    _process: Running | None = field(default=None, init=False)
    _started_s: float = field(default=0.0, init=False)
    _restart_at_s: float = field(default=0.0, init=False)
    _backoff_s: float = field(default=_BACKOFF_FIRST_S, init=False)

    @property
    def pid(self) -> int:
        """The process id, of the last start."""
        return self._process.pid if self._process else 0

    @property
    def log_file(self) -> Path:
        """Where its standard output and error go."""
        return self.run_dir / f"{self.name}.log"

    def start(self) -> None:
        """Start it; it dies with this process."""
        self._ready_file.unlink(missing_ok=True)
        environment = {**self.environment, "STRONGROOM_READY_FILE": str(self._ready_file)}
        self._process = self.launch(
            Order(
                name=self.name,
                module=self.module,
                environment=environment,
                log_file=str(self.log_file),
            )
        )
        self._started_s = self.clock.boot_s()

    def wait_until_ready(self, timeout_s: float) -> dict[str, Any]:
        """Return what it announces.

        Raises:
            UnavailableError: It has ended, or takes too long; the detail has the end of its log.
        """
        ends_at_s = self.clock.boot_s() + timeout_s
        pause = threading.Event()
        while self.clock.boot_s() < ends_at_s:
            facts = self.announced()
            if facts is not None:
                return facts
            if not self.is_running():
                raise UnavailableError(f"{self.name} did not start:\n{self._log_tail()}")
            pause.wait(_POLL_S)
        raise UnavailableError(f"{self.name} is not ready after {timeout_s} s; see {self.log_file}")

    def wait_until_connectable(self, host: str, port: int, timeout_s: float) -> None:
        """Wait until it listens: granian binds its port before and listens later.

        Raises:
            UnavailableError: As `wait_until_ready`.
        """
        ends_at_s = self.clock.boot_s() + timeout_s
        pause = threading.Event()
        while self.clock.boot_s() < ends_at_s and self.is_running():
            with suppress(OSError), socket.create_connection((host.strip("[]"), port), _POLL_S):
                return
            pause.wait(_POLL_S)
        raise UnavailableError(f"{self.name} does not listen:\n{self._log_tail()}")

    def announced(self) -> dict[str, Any] | None:
        """Return what it has announced since its last start."""
        filesystem = durable.LocalFilesystem()
        raw = durable.read_file(filesystem, str(self._ready_file), limits.CONFIG_FILE_BYTES_MAX)
        return None if raw is None else dict(jsontext.parse(raw))

    def is_running(self) -> bool:
        """Tell whether it runs."""
        return self._process is not None and self._process.poll() is None

    def keep_alive(self) -> bool:
        """Start it anew if it has died, not faster and faster; tell whether it was started."""
        now_s = self.clock.boot_s()
        if self.is_running():
            if now_s - self._started_s > _HEALTHY_AFTER_S:
                self._backoff_s = _BACKOFF_FIRST_S
            return False
        if self._restart_at_s == 0.0:
            self._restart_at_s = now_s + self._backoff_s
            self._backoff_s = min(2 * self._backoff_s, _BACKOFF_LONGEST_S)
        if now_s < self._restart_at_s:
            return False
        self._restart_at_s = 0.0
        self.start()
        return True

    def terminate(self) -> None:
        """Ask it to end."""
        if self._process is not None and self.is_running():
            self._process.terminate()

    def wait(self) -> None:
        """Wait for its end, and make one where it takes too long."""
        if self._process is None:
            return
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def _ready_file(self) -> Path:
        return self.run_dir / f"{self.name}.ready"

    def _log_tail(self) -> str:
        return self.log_file.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
