"""The search for secrets finds what it is meant to find; otherwise finding nothing says nothing."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.deployment import wait_until
from tests.support.leaks import Leak, Search, files_below, forms, shown_of_processes

SECONDS = 30.0
KEY = bytes(range(0xE0, 0x100))
TEXT = b"the quick brown fox"
ELSEWHERE = os.urandom(4096).replace(KEY[:8], b"")
SEARCH = Search({"key": KEY, "text": TEXT})
WAYS: dict[str, bytes] = {
    "as it is": KEY,
    "hex": KEY.hex().encode(),
    "upper case": KEY.hex().upper().encode(),
    "base64": base64.b64encode(KEY),
    "base64 within more": base64.b64encode(b"?" + KEY + b"??"),
    "base64 within still more": base64.b64encode(b"??" + KEY + b"?"),
    "base64url": base64.urlsafe_b64encode(KEY),
    "base64url within more": base64.urlsafe_b64encode(b"?" + KEY + b"??"),
    "base64url within still more": base64.urlsafe_b64encode(b"??" + KEY + b"?"),
    "printed": repr(KEY).encode(),
    "printed as a list": repr(list(KEY)).encode(),
    "printed as an array": repr(bytearray(b"?" + KEY)).encode(),
    "the first half": KEY[:16].hex().encode(),
    "the second half": base64.b64encode(b"?" + KEY[16:]),
    "text": b'{"error": "cannot parse ' + TEXT + b'"}',
    "text in UTF-16": TEXT.decode().encode("utf-16"),
    "text in base64": base64.b64encode(b"user:" + TEXT),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_secret_is_found(way: str, tmp_path: Path) -> None:
    """The search passes over a secret that was written in one of these ways."""
    planted = tmp_path / "deep" / ".tmp-hidden"
    planted.parent.mkdir()
    planted.write_bytes(ELSEWHERE + WAYS[way] + ELSEWHERE)
    found = SEARCH.look_into(files_below(tmp_path))
    assert {(leak.place, leak.secret) for leak in found} == {
        (str(planted), "text" if way.startswith("text") else "key")
    }


def test_every_form_that_is_looked_for_is_found() -> None:
    """One of the forms hides another one, or is spoilt on its way."""
    for name, form in forms(KEY):
        assert name in {leak.form for leak in SEARCH.look("log", b"x" + form + b"x")}


def test_a_secret_in_a_name_is_found(tmp_path: Path) -> None:
    """A path shows an entity key, and nobody looks at paths."""
    (tmp_path / TEXT.decode()).touch()
    assert [leak.secret for leak in SEARCH.look_into(files_below(tmp_path))] == ["text"]


def test_tokens_and_private_keys_are_found_by_their_shape() -> None:
    """A token that the test does not know of lies in a log."""
    parts = (b'{"alg":"EdDSA"}', b'{"iss":1}', os.urandom(64))
    token = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    assert SEARCH.look("log", b'"Bearer ' + token + b'"') == [Leak("log", "?", "a JWT")]
    pem = b"-----BEGIN EC PRIVATE KEY-----\nMHcC"
    assert SEARCH.look("log", pem) == [Leak("log", "?", "a private key")]


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    """The search cries wolf, and what it finds is believed no longer."""
    (tmp_path / "noise").write_bytes(os.urandom(1 << 20))
    assert SEARCH.look_into(files_below(tmp_path)) == []
    (tmp_path / "allowed").write_bytes(KEY)
    assert SEARCH.look_into(files_below(tmp_path, [tmp_path / "allowed"])) == []


def test_what_is_too_short_is_refused() -> None:
    """A secret of a few bytes is found everywhere, by chance."""
    with pytest.raises(ValueError, match="8 bytes"):
        Search({"pin": b"1234567"})


def test_arguments_and_environment_of_a_process_and_its_children_are_searched() -> None:
    """A secret stands in what `ps` shows, of a process that another one has started."""
    script = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()', sys.argv[1]])"
    )
    with subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-c", script, TEXT.hex()],
        env={**os.environ, "KEY": KEY.hex()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdin is not None

        def found() -> set[Leak]:
            shown = shown_of_processes([parent.pid]).items()
            return {leak for place, content in shown for leak in SEARCH.look(place, content)}

        # The child is there when its parent waits for it, and has its own a moment later.
        assert wait_until(lambda: len({leak.place for leak in found()}) == 4, SECONDS)
        told = {(leak.place.rpartition("/")[2], leak.secret) for leak in found()}
        parent.stdin.write(b"\n")
        parent.stdin.close()
    assert told == {("cmdline", "text"), ("environ", "key")}
