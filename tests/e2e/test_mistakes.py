"""What a user does wrong, each as a real process: one line says what to do, and nothing else."""

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.commands import COMMAND, SECONDS, environment, others, ran, refusal
from tests.support.deployment import Deployment, wait_until
from tests.support.small_disk import mounted

CHAT = '{"chat": []}'


@dataclass(frozen=True)
class Place:
    """What mistakes are made with."""

    named: dict[str, str]
    grpc: str
    directory: Path


@pytest.fixture
def place(deployment: Deployment, tmp_path: Path) -> Place:
    """A deployment, and a directory with odd files."""
    (tmp_path / "odd.json").write_text('{"key": "a",\n "entity": nonsense}')
    (tmp_path / "broken.json").write_text('{"a": 1,\n "b" 2}')
    return Place(environment(deployment), deployment.facts["grpc_address"], tmp_path)


MISTAKES = {
    "a wrong url": ({"STRONGROOM_URL": "db.example"}, ("db", "list"), 1, "is not like https://"),
    "a wrong host": (
        {"STRONGROOM_URL": "https://no-such-host.invalid"},
        ("db", "list"),
        7,
        "check the address",
    ),
    "a wrong port": (
        {"STRONGROOM_URL": "http://127.0.0.1:1"},
        ("keys", "list"),
        7,
        "nobody listens there: check the address and the port",
    ),
    "a wrong port of gRPC": (
        {"STRONGROOM_URL": "grpc://127.0.0.1:1"},
        ("keys", "list"),
        7,
        "nobody listens there",
    ),
    "plain http over a network": (
        {"STRONGROOM_URL": "http://db.example"},
        ("worker", "list"),
        1,
        "use https",
    ),
    "a wrong secret": (
        {"STRONGROOM_CLIENT_SECRET": "wrong"},
        ("job", "list"),
        6,
        "check STRONGROOM_CLIENT_ID and STRONGROOM_CLIENT_SECRET, or the profile",
    ),
    "no authority": ({"STRONGROOM_CA_FILE": "/etc/passwd"}, ("db", "list"), 1, "/etc/passwd"),
    "a profile that is not there": ({}, ("db", "list", "--profile", "x"), 1, "profile add"),
    "a missing file": ({}, ("put", "chatdb", "k", "none"), 1, "none: No such file"),
    "a directory": ({}, ("put", "chatdb", "k", "."), 1, "Is a directory; name a file in it"),
    "a directory to import": ({}, ("import", "chatdb", "."), 1, "Is a directory"),
    "an empty file": ({}, ("put", "chatdb", "k", "/dev/null"), 1, "there is no document"),
    "no JSON": ({}, ("put", "chatdb", "k", "odd.json"), 5, "JSON"),
    "no place for an export": ({}, ("export", "chatdb", "/none/x"), 1, "/none/x.part: No such"),
    "a database that is not there": ({}, ("list", "nodb"), 3, "nodb"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_line(place: Place, mistake: str) -> None:
    """A user gets a stack trace, or a line that does not say what to do."""
    named, words, code, told = MISTAKES[mistake]
    named = {**place.named, "XDG_CONFIG_HOME": str(place.directory), **named}
    at = [str(place.directory / word) if word in {".", "odd.json"} else word for word in words]
    assert told in refusal(ran(named, *at), code)


def test_json_that_is_none_is_told_with_its_place(place: Place) -> None:
    """Whoever has a comma too few in a long file has to look for it."""
    ended = ran(place.named, "import", "chatdb", str(place.directory / "broken.json"))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines()[-1] == "strongroom: line 2, column 6: ':' is expected"


def test_tls_that_does_not_fit_is_told(place: Place) -> None:
    """Whoever mixes up http, https and gRPC learns that a call has ended."""
    plain = place.named["STRONGROOM_URL"]
    https = {**place.named, "STRONGROOM_URL": plain.replace("http:", "https:")}
    assert "speaks no TLS: try http://" in refusal(ran(https, "db", "list"), 7)
    grpc = {**place.named, "STRONGROOM_URL": f"grpc://{place.grpc}"}
    told = ran(grpc, "db", "list")
    # Forked from a process that has gRPC already, the command cannot switch off its core's log.
    assert (told.returncode, told.stdout) == (7, "")
    assert "STRONGROOM_CA_FILE" in told.stderr.splitlines()[-1]
    other = {**place.named, "STRONGROOM_URL": f"http://{place.grpc}"}
    assert refusal(ran(other, "db", "list"), 7)


@pytest.mark.parametrize("words", [("put", "chatdb", "k", "-"), ("import", "chatdb", "-")])
def test_standard_input_that_is_closed(place: Place, words: tuple[str, ...]) -> None:
    """A cron job without standard input ends in a stack trace."""
    ended = _in_bash(place, f"{' '.join(words)} <&-")
    assert "Traceback" not in ended.stderr
    assert ended.returncode == (1 if words[0] == "put" else 0)


def test_standard_output_that_is_closed(place: Place) -> None:
    """An export is thrown away, and the exit code says that it was made."""
    ended = _in_bash(place, "export chatdb >&-")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "standard output is closed" in ended.stderr


def test_a_full_disk_is_told_and_the_export_goes_on_later(place: Place) -> None:
    """An export that filled the disk has to begin anew, or is taken for a whole one."""
    text = {"chat": [{"type": "user", "text": "x" * 900}]}
    told = [json.dumps({"key": f"full/{n}", "entity": text}) for n in range(1500)]
    texts = "\n".join(told)
    assert ran(place.named, "import", "chatdb", "-", typed=texts).returncode == 0
    with mounted(place.directory / "disk") as disk:
        out = disk / "out"
        words = ("export", "chatdb", str(out), "--prefix", "full/")
        ended = ran(place.named, *words)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "No space left on device; make room" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert not out.exists()


def test_no_right_to_write_there(place: Place) -> None:
    """A directory that is not ours ends in a stack trace."""
    if os.geteuid() == 0:
        # Root may write anywhere but where the kernel lets nobody.
        assert "/proc/out.part: " in refusal(ran(place.named, "export", "chatdb", "/proc/out"))
    else:
        assert "have somebody give you the right" in refusal(
            ran(place.named, "export", "chatdb", "/out")
        )


def test_ctrl_c_ends_with_130(place: Place) -> None:
    """A script cannot tell that somebody has interrupted it."""
    with _silence() as url:
        with subprocess.Popen(  # noqa: S603 - the project's own command
            # Who runs the tests in the background may have told them to ignore Ctrl-C.
            ["/usr/bin/env", "--default-signal=INT", COMMAND, "db", "list"],
            env=others() | place.named | {"STRONGROOM_URL": url[0]},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert wait_until(lambda: len(url) > 1, SECONDS)
            process.send_signal(signal.SIGINT)
            out, told = process.communicate(timeout=SECONDS)
        assert (process.returncode, out) == (130, "")
        assert "Traceback" not in told


def _in_bash(place: Place, words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - the project's own command
        ["/bin/bash", "-c", f"'{COMMAND}' {words}"],
        env=others() | place.named,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@contextmanager
def _silence() -> Iterator[list[str]]:
    """Serve nothing: whoever connects waits. The second element says that somebody does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        told = [f"http://127.0.0.1:{server.getsockname()[1]}"]
        held = []

        def accept() -> None:
            connection, _ = server.accept()
            held.append(connection)
            told.append("connected")

        waiting = threading.Thread(target=accept)
        waiting.start()
        yield told
        waiting.join(SECONDS)
        for connection in held:
            connection.close()
