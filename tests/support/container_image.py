"""A container image without a container engine: what its Dockerfile says, laid out and run.

The environment is made from the image's own lock, the code is what it copies, nothing of it can be
written, and its exact commands run as a user who owns nothing, with the environment that it sets.
"""

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

ROOT: Final = Path(__file__).parents[2]
USER: Final = 10001
_UV: Final = ROOT / ".venv" / "bin" / "uv"
_OPT: Final = "/opt/"
_INSTRUCTION: Final = re.compile(r"^([A-Z]+)\s+(.*)$", re.DOTALL)


@dataclass
class Dockerfile:
    """What the last stage of a Dockerfile says, and what the stages before it were made from."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    health_check: list[str] = field(default_factory=list)
    user: str = ""
    stop_signal: str = ""
    lock: str = ""
    copied: dict[str, str] = field(default_factory=dict)
    compiling: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "Dockerfile":
        """Read it."""
        found = cls(path)
        for name, text in _instructions(path.read_text()):
            found._take(name, text)
        return found

    def _take(self, name: str, text: str) -> None:
        match name:
            case "ENV":
                pairs = (pair.partition("=") for pair in text.split())
                self.environment |= {variable: value for variable, _, value in pairs}
            case "CMD":
                self.command = _exec_form(text)
            case "ENTRYPOINT":
                self.entrypoint = _exec_form(text)
            case "HEALTHCHECK":
                self.health_check = _exec_form(text.partition("CMD ")[2])
            case "USER":
                self.user = text
            case "STOPSIGNAL":
                self.stop_signal = text
            case "RUN" if " -m compileall " in text:
                self.compiling = shlex.split(text)
            case "COPY" if "requirements/" in text:
                self.lock = text.split(maxsplit=1)[0]
            case "COPY" if not text.startswith("--from"):
                source, target = text.split()
                self.copied[source] = target


@dataclass
class Image:
    """An image laid out below a directory, which stands in the place of `/`."""

    dockerfile: Dockerfile
    directory: Path

    def build(self) -> "Image":
        """Lay it out, readable by everybody and writable by nobody."""
        python = _reachable_interpreter(self.directory / "python")
        venv = self.directory / "opt" / "venv"
        subprocess.run([python, "-m", "venv", "--without-pip", venv], check=True)  # noqa: S603
        subprocess.run(  # noqa: S603 - the command of this environment
            [
                *(_UV, "pip", "install", "--quiet", "--no-config", "--python", venv / "bin/python"),
                *("--link-mode", "copy", "--only-binary", ":all:", "--require-hashes", "--no-deps"),
                *("--requirements", ROOT / self.dockerfile.lock),
            ],
            check=True,
        )
        for source, target in self.dockerfile.copied.items():
            shutil.copytree(
                ROOT / source,
                self.directory / target.lstrip("/"),
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        subprocess.run(  # noqa: S603 - the command of our Dockerfile
            [self._below(word) for word in self.dockerfile.compiling],
            check=True,
            env={"LD_LIBRARY_PATH": self._libraries},
        )
        self._close()
        return self

    @property
    def _libraries(self) -> str:
        """A copied interpreter finds its own library, not the system's."""
        return str(self.directory / "python" / "lib")

    def start(
        self, settings: Mapping[str, str], command: list[str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Run the image's command, or another one of it, as its user."""
        environment = {
            name: self._below(value)
            for name, value in {**self.dockerfile.environment, **settings}.items()
        }
        environment["LD_LIBRARY_PATH"] = self._libraries
        words = command or self.dockerfile.command
        program = shutil.which(words[0], path=environment["PATH"])
        assert program is not None
        # Who is not root is nobody already.
        user = USER if os.getuid() == 0 else None
        return subprocess.Popen(  # noqa: S603 - the command of our Dockerfile
            [program, *words[1:]],
            cwd=self.directory / "opt" / "strongroom",
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )

    def _below(self, value: str) -> str:
        """Return a setting with the image's paths where they are here."""
        parts = value.split(":")
        return ":".join(f"{self.directory}{p}" if f"{p}/".startswith(_OPT) else p for p in parts)

    def _close(self) -> None:
        for path in [self.directory, *self.directory.rglob("*")]:
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod((mode | stat.S_IROTH | stat.S_IRGRP) & ~0o222)
                if path.is_dir() or mode & stat.S_IXUSR:
                    path.chmod(path.stat().st_mode | 0o111)


def give(path: Path) -> None:
    """Let the image's user own what lies below a directory, where that can be done."""
    if os.getuid() == 0:
        for one in [path, *path.rglob("*")]:
            os.chown(one, USER, USER)


def _reachable_interpreter(copy: Path) -> Path:
    """Return a Python that the image's user may run: this one, or a copy of it."""
    interpreter = Path(sys.executable).resolve()
    if os.getuid() != 0 or all(p.stat().st_mode & stat.S_IXOTH for p in interpreter.parents):
        return interpreter
    prefix = Path(sys.base_prefix)
    for part in ("bin", "lib"):
        shutil.copytree(
            prefix / part,
            copy / part,
            symlinks=True,
            ignore=shutil.ignore_patterns("site-packages", "test", "idlelib", "__pycache__", "*.a"),
        )
    return copy / "bin" / interpreter.name


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield the instructions of a Dockerfile, lines that go on put together."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    whole = "\n".join(lines).replace("\\\n", " ")
    for line in whole.splitlines():
        match = _INSTRUCTION.match(line.strip())
        if match is not None:
            yield match[1], match[2].strip()


def _exec_form(text: str) -> list[str]:
    return msgspec.json.decode(text, type=list[str])
