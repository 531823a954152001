"""Pages of the documentation, entered as a reader would.

A fenced `sh` block of a page is entered in a shell; a `text` or `http` block below it is what the
page shows as its answer. What differs from one reader to the next by nature (times, ids, sizes) is
masked by `VARYING` on both sides before they are compared; a page needs nothing for that.
"""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.deployment import Deployment

REPOSITORY: Final = Path(__file__).parents[2]
VARYING: Final = {
    r"\b20\d{6}-\d{6}-[0-9a-f]{48}\b": "BACKUP",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z": "TIME",
    r"\b[0-9a-f]{2}/[0-9a-f]{64}\b": "FILE",
    r"\b[0-9a-f]{64}\b": "FILE",
    r"\b[0-9a-f]{32}\b": "REQUEST",
    r"\b[0-9a-f]{28}\b": "JOB",
    r"\b[0-9a-f]{16}\b": "KEY",
    r'"(iv|tag)": "[A-Za-z0-9+/]+=*"': r'"\1": "BASE64"',
    r"SHA256:[A-Za-z0-9+/]{43}": "FINGERPRINT",
    r"\bworker-\d\b": "WORKER",
    r"[1-9]\d* bytes": "N bytes",
    r"\d+ (chains|blocks|heads|files|rewrapped|documents|KiB)\b": r"N \1",
}
_FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK: Final = "-- entered --"


@dataclass
class Step:
    """Commands of a page, and what it shows as their answer."""

    commands: str
    kind: str = ""
    answer: str = ""

    def compare(self, said: str) -> None:
        """Raise AssertionError where the shell has said something else than the page."""
        if self.kind == "http":
            shown_head, _, shown_body = self.answer.strip().partition("\n\n")
            head, _, body = said.replace("\r\n", "\n").strip().partition("\n\n")
            assert shown_head.split("\n")[0] == head.split("\n")[0]
            assert set(shown_head.split("\n")) <= set(head.split("\n"))
            assert plain(shown_body) == plain(body)
        elif self.kind:
            shown, told = plain(self.answer), plain(said)
            if "find " in self.commands:
                shown, told = ("\n".join(sorted(one.split("\n"))) for one in (shown, told))
            assert shown == told


def steps(text: str) -> list[Step]:
    """Return the fenced commands of a page, each with the fenced answer below it."""
    found: list[Step] = []
    for kind, content in _FENCE.findall(text):
        if kind == "sh":
            found.append(Step(content))
        elif kind in {"text", "http"}:
            found[-1].kind, found[-1].answer = kind, content
    return found


def page(name: str) -> str:
    """Return the text of a page, named by its place in the repository."""
    return (REPOSITORY / name).read_text()


def section(text: str, heading: str) -> str:
    """Return what stands below a heading of the second level."""
    found = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert found, heading
    return found


def plain(text: str) -> str:
    """Return an answer without what differs from one reader to the next."""
    for pattern, name in VARYING.items():
        text = re.sub(pattern, name, text)
    return text.strip()


class Run(Deployment):
    """`make run` in a directory that looks like a checkout, `.local` and all."""

    @property
    def root(self) -> Path:
        """Where the pages have it."""
        return self.directory / ".local"


class Terminal:
    """A reader's shell: one for a whole page, so that what it exports stays.

    It stands in the directory of a `Run`, with a home of its own; addresses that `make run` has by
    default are replaced by those of the run.
    """

    def __init__(self, directory: Path, **environment: str) -> None:
        """Open it; `environment` is what a reader has beside what the page exports."""
        self._directory = directory
        self.home = directory / "home"
        self.home.mkdir(exist_ok=True)
        # What curl tells of its progress goes to a terminal only where the answer does not.
        (self.home / ".curlrc").write_text("silent\nshow-error\n")
        for name in (".venv", "docs"):
            if not (directory / name).exists():
                (directory / name).symlink_to(REPOSITORY / name)
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("STRONGROOM_")}
        self._shell = subprocess.Popen(
            ["/bin/bash", "--noprofile", "--norc", "-euo", "pipefail"],
            cwd=directory,
            env=inherited | {"HOME": str(self.home)} | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Close the shell."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.close()
        self._shell.wait(10)
        self._shell.stdout.close()

    def enter(self, commands: str, run: Deployment | None = None) -> str:
        """Enter commands, for a deployment where they need one; return what they print.

        Raises:
            AssertionError: One has failed; with what was printed until then.
        """
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        if run is not None:
            commands = at(run, commands)
        # A group, so that what reads standard input does not eat the rest of the page.
        self._shell.stdin.write(f"{{\n{commands}\n}} </dev/null\nprintf '\\n%s\\n' '{_MARK}'\n")
        self._shell.stdin.flush()
        said: list[str] = []
        for line in self._shell.stdout:
            if line == f"{_MARK}\n":
                told = "".join(said).removesuffix("\n").replace(str(self.home), "/home/you")
                return told.replace(str(self._directory), "/home/you/strongroom")
            said.append(line)
        raise AssertionError(f"{commands}\nhas failed, and said:\n{''.join(said)}")

    def follow(self, entered: Sequence[Step], run: Deployment) -> None:
        """Enter the steps one after the other, and hold each answer against the page's."""
        for step in entered:
            step.compare(self.enter(step.commands, run))


def at(run: Deployment, commands: str) -> str:
    """Put a run's addresses in the place of those that `make run` has by default."""
    commands = commands.replace("http://127.0.0.1:8080", run.facts["http_url"])
    return commands.replace("127.0.0.1:50051", run.facts["grpc_address"])
