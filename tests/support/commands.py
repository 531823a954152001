"""`strongroom verify` as it is run from a shell, in this process or in one of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.main import main
from tests.support.deployment import Deployment

COMMAND = str(Path(sys.executable).parent / "strongroom")
SECONDS = 60


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
class Verify:
    """The command, run within this process: what it does not foresee is raised here."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, named: dict[str, str], *options: str) -> Ended:
        """Run it in an environment that names a deployment."""
        for name in [one for one in os.environ if one.startswith("STRONGROOM_")]:
            self.monkeypatch.delenv(name)
        for name, value in named.items():
            self.monkeypatch.setenv(name, value)
        self.monkeypatch.setattr(sys, "argv", ["strongroom", "verify", *options])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        assert isinstance(code, int)
        return Ended(code, *self.capsys.readouterr())


def spawned(named: dict[str, str], *options: str) -> Ended:
    """Run `verify` as a process of its own, with its output in pipes."""
    return ran(named, "verify", *options)


def ran(named: dict[str, str], *arguments: str) -> Ended:
    """Run any command as a process of its own, with its output in pipes and nothing to read."""
    others = {n: v for n, v in os.environ.items() if not n.startswith("STRONGROOM_")}
    ended = subprocess.run(  # noqa: S603 - the project's own command
        [COMMAND, *arguments],
        env=others | named,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
        check=False,
    )
    assert "\x1b" not in ended.stdout + ended.stderr
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def refusal(ended: Ended) -> str:
    """Return the one line that says why a command has not done what it should."""
    (line,) = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout) == (1, "")
    assert line.startswith("strongroom: ")
    return line
