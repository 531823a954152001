"""`strongroom` as it is run from a shell, in this process or in one of its own."""

import io
import os
import pty
import re
import subprocess
import sys
import tempfile
import termios
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.main import main
from tests.support.deployment import Deployment
from tests.support.forge import Order, forge

COMMAND = str(Path(sys.executable).parent / "strongroom")
SECONDS = 60
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Ended:
    """How a command has ended."""

    returncode: int
    stdout: str
    stderr: str


def environment(deployment: Deployment) -> dict[str, str]:
    """Return what names a deployment to the command line."""
    client_id, secret = deployment.credentials()
    return {
        "STRONGROOM_URL": deployment.facts["http_url"],
        "STRONGROOM_CLIENT_ID": client_id,
        "STRONGROOM_CLIENT_SECRET": secret,
    }


@dataclass(frozen=True)
class Command:
    """The command, run within this process: what it does not foresee is raised here."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, named: dict[str, str], *arguments: str, typed: str = "") -> Ended:
        """Run it in an environment that names a deployment, with something on standard input."""
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
        for name in [one for one in os.environ if one.startswith("STRONGROOM_")]:
            self.monkeypatch.delenv(name)
        for name, value in named.items():
            self.monkeypatch.setenv(name, value)
        self.monkeypatch.setattr(sys, "argv", ["strongroom", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        assert isinstance(code, int)
        return Ended(code, *self.capsys.readouterr())


class Verify(Command):
    """`strongroom verify`, within this process."""

    def __call__(self, named: dict[str, str], *arguments: str, typed: str = "") -> Ended:
        """Run it in an environment that names a deployment."""
        return super().__call__(named, "verify", *arguments, typed=typed)


def spawned(named: dict[str, str], *options: str) -> Ended:
    """Run `verify` as a process of its own, with its output in pipes."""
    return ran(named, "verify", *options)


def ran(named: dict[str, str], *arguments: str, typed: str = "") -> Ended:
    """Run any command as a process of its own, with files for its input and output."""
    with tempfile.TemporaryDirectory() as directory:
        into, out, errors = (Path(directory) / name for name in ("in", "out", "err"))
        into.write_text(typed)
        started = forge().start(
            Order(
                module="cli.main",
                arguments=arguments,
                environment=others() | named,
                directory=str(Path.cwd()),
                input=str(into),
                output=str(out),
                errors=str(errors),
            )
        )
        try:
            code = started.wait(SECONDS)
        finally:
            started.kill()
        ended = Ended(code, out.read_text(), errors.read_text())
    assert "\x1b" not in ended.stdout + ended.stderr
    return ended


def on_a_terminal(
    named: dict[str, str], *arguments: str, typed: str = "", after: str = ""
) -> tuple[int, str]:
    """Run any command at a terminal of 100 columns; return its exit code and the text it shows.

    What is `typed` is typed `after` something is shown: who asks for a secret throws away what was
    typed before.
    """
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 100))
    environ = others() | {"TERM": "xterm-256color"} | named
    with subprocess.Popen(  # noqa: S603 - the project's own command
        [COMMAND, *arguments], env=environ, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        # Reading fails once nobody has the other end any more.
        with suppress(OSError):
            while True:
                if typed and after.encode() in shown:
                    os.write(ours, typed.encode())
                    typed = ""
                some = os.read(ours, 65_536)
                if not some:
                    break
                shown += some
        code = process.wait(SECONDS)
    os.close(ours)
    assert b"\x1b[" in shown
    return code, _CONTROL.sub("", shown.decode())


def others() -> dict[str, str]:
    """Return the environment without what names a deployment."""
    return {n: v for n, v in os.environ.items() if not n.startswith("STRONGROOM_")}


def refusal(ended: Ended, *codes: int) -> str:
    """Return the one line that says why a command has not done what it should.

    Its exit code is one of those given, 1 where none is.
    """
    assert ended.stderr.count("\n") == 1, ended
    line = ended.stderr.rstrip("\n")
    assert (ended.returncode in (codes or (1,)), ended.stdout) == (True, ""), ended
    assert line.startswith("strongroom: ")
    return line
