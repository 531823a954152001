"""`strongroom profile`, with the real `keyring` library; and what a shell completes."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest

from tests.support.commands import (
    COMMAND,
    Command,
    Ended,
    environment,
    on_a_terminal,
    others,
    refusal,
)
from tests.support.deployment import Deployment
from tests.support.os_keyring import FILE_VARIABLE, FileKeyring, WaitingKeyring

BACKEND = "tests.support.os_keyring.FileKeyring"
SECRET = "hunter2"


class Home:
    """Somebody's machine: a place for profiles, and a keyring."""

    def __init__(self, directory: Path, deployment: Deployment) -> None:
        """Take where, and a deployment."""
        named = environment(deployment)
        self.url, self.secret = named["STRONGROOM_URL"], named["STRONGROOM_CLIENT_SECRET"]
        self.client_id = named["STRONGROOM_CLIENT_ID"]
        self.file = directory / "config" / "strongroom" / "profiles.toml"
        self.kept = directory / "keyring.json"
        self.variables = {
            "XDG_CONFIG_HOME": str(directory / "config"),
            "PYTHON_KEYRING_BACKEND": BACKEND,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            FILE_VARIABLE: str(self.kept),
        }

    def add(self, name: str = "work") -> tuple[str, ...]:
        """Return the words that make a profile of the deployment."""
        return "profile", "add", name, "--url", self.url, "--client-id", self.client_id

    def entries(self) -> dict[str, str]:
        """Return what is in the keyring."""
        return dict(json.loads(self.kept.read_text())) if self.kept.exists() else {}


@pytest.fixture
def home(tmp_path: Path, deployment: Deployment) -> Home:
    """A machine of its own."""
    return Home(tmp_path, deployment)


class AtHome(Command):
    """The command, on that machine."""

    def __call__(self, named: dict[str, str], *arguments: str, typed: str = "") -> Ended:
        """Run it."""
        kept = {FILE_VARIABLE: os.environ["HOME_OF_KEYRING"]}
        return super().__call__(kept | named, *arguments, typed=typed)


@pytest.fixture
def strongroom(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Home
) -> Iterator[Command]:
    """The command, on that machine."""
    monkeypatch.setenv("XDG_CONFIG_HOME", home.variables["XDG_CONFIG_HOME"])
    monkeypatch.setenv("HOME_OF_KEYRING", str(home.kept))
    before = keyring.get_keyring()
    keyring.set_keyring(FileKeyring.made())
    yield AtHome(monkeypatch, capsys)
    keyring.set_keyring(before)


def test_a_secret_is_in_the_keyring_and_nowhere_else(strongroom: Command, home: Home) -> None:
    """A secret lies in a file that every program of its owner can read."""
    made = strongroom({}, *home.add(), typed=f"{home.secret}\n")
    assert (made.returncode, made.stderr) == (0, "")
    assert home.secret not in made.stdout + home.file.read_text()
    assert home.entries() == {"strongroom-cli/work": home.secret}
    assert home.file.stat().st_mode & 0o777 == 0o600
    for words in (("--profile", "work"), ()):
        listed = strongroom({}, "db", "list", "--json", *words)
        assert "chatdb" in listed.stdout, "the first profile is the one that is used"
    workers = strongroom({"STRONGROOM_PROFILE": "work"}, "worker", "list", "--json")
    assert len(json.loads(workers.stdout)["workers"]) == 2
    elsewhere = {"STRONGROOM_URL": "http://127.0.0.1:1"}
    assert "goes nowhere else" in refusal(strongroom(elsewhere, "db", "list"))
    gone = strongroom(elsewhere | {"STRONGROOM_CLIENT_SECRET": "another"}, "db", "list")
    assert gone.returncode == 7, "the environment goes before the profile"
    removed = strongroom({}, "profile", "remove", "work")
    assert (removed.returncode, home.entries()) == (0, {})
    assert "set STRONGROOM_URL" in refusal(strongroom({}, "db", "list"))


def test_profiles_are_listed_shown_and_chosen(strongroom: Command, home: Home) -> None:
    """Nobody knows which deployment the next command is about."""
    home.file.parent.mkdir(parents=True)
    home.file.write_text("# of ours\n")
    home.file.chmod(0o600)
    strongroom({}, *home.add("one"), typed=f"{home.secret}\n")
    elsewhere = ("--grpc-address", "127.0.0.1:1", "--client-id", "x", "--secret", "prompt")
    assert strongroom({}, "profile", "add", "two", *elsewhere).returncode == 0
    listed = strongroom({}, "profile", "list", "--json").stdout
    shown = [json.loads(line) for line in listed.splitlines()]
    assert [(one["name"], one["current"]) for one in shown] == [("one", True), ("two", False)]
    assert strongroom({}, "profile", "use", "two").returncode == 0
    assert strongroom({}, "profile", "list").stdout.splitlines()[1].startswith("*\ttwo\t")
    one = json.loads(strongroom({}, "profile", "show", "one", "--json").stdout)
    assert (one["url"], one["secret"], one["secret_state"]) == (home.url, "keyring", "kept")
    assert home.file.read_text().startswith("# of ours\n"), "a comment is lost"
    assert strongroom({"STRONGROOM_CLIENT_SECRET": "x"}, "db", "list").returncode == 7
    changed = strongroom({}, "profile", "add", "one", "--client-id", "other", typed="s\n")
    assert (changed.returncode, home.entries()) == (0, {"strongroom-cli/one": "s"})
    told = refusal(strongroom({}, "profile", "use", "three"))
    assert "it has: one, two" in told


def test_what_is_wrong_with_a_profile_is_told(strongroom: Command, home: Home) -> None:
    """A mistyped profile is a stack trace, or a secret shows in what is said of it."""
    listed = ("db", "list", "--profile", "work")
    assert "has no profile work" in refusal(strongroom({}, *listed))
    home.file.parent.mkdir(parents=True)
    for text, why in (
        ("[work]\nurl = 1\n", "work.url is not a text"),
        (f'[work]\nclient_secret = "{SECRET}"\n', "profile add work"),
        (f'[work]\nclientsecret = "{SECRET}"\n', "unknown member clientsecret"),
        ('[work]\nsecret = "here"\n', "work.secret is keyring or prompt"),
        (SECRET, "is not TOML"),
        ("[work]\n", "set STRONGROOM_URL, STRONGROOM_CLIENT_ID"),
        ('[work]\nurl = "http://127.0.0.1:1"\nclient_id = "a"\n', "set STRONGROOM_CLIENT_SECRET"),
        (
            '[work]\nurl = "http://127.0.0.1:1"\nclient_id = "a"\nsecret = "keyring"\n',
            "`strongroom profile add work` puts it there",
        ),
    ):
        home.file.write_text(text)
        home.file.chmod(0o600)
        told = refusal(strongroom({}, *listed))
        assert why in told
        assert SECRET not in told
    home.file.chmod(0o644)
    assert "chmod 600" in refusal(strongroom({}, *listed))
    home.file.unlink()
    for words, why in (
        (("--client-id", "a"), "--url https://db.example"),
        (("--url", "https://x"), "--client-id NAME"),
        (("--url", "ftp://x", "--client-id", "a"), "the address is not like"),
        (("--url", "https://x", "--client-id", "a", "--ca-file", "/none"), "no certificates"),
        (("--url", "https://x", "--client-id", "a"), "there is no secret"),
    ):
        assert why in refusal(strongroom({}, "profile", "add", "work", *words))
    assert "is not a name" in refusal(
        strongroom({}, "profile", "add", "../x", "--url", "https://x")
    )
    assert not home.file.exists()
    assert home.entries() == {}


@pytest.mark.parametrize("backend", ["LockedKeyring", "ForgetfulKeyring"])
def test_a_keyring_that_does_not_keep_it_is_told(home: Home, backend: str) -> None:
    """A secret is lost, and the next command does not say why."""
    variables = {**home.variables, "PYTHON_KEYRING_BACKEND": f"tests.support.os_keyring.{backend}"}
    ended = subprocess.run(  # noqa: S603 - the project's own command
        [COMMAND, *home.add()],
        env=others() | variables,
        input=f"{home.secret}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "keyring of this system" in ended.stderr
    assert home.secret not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_secret_is_typed_where_it_is_nowhere(strongroom: Command, home: Home) -> None:
    """Who wants no secret kept cannot work; or it shows on the screen while it is typed."""
    assert strongroom({}, *home.add(), "--secret", "prompt").returncode == 0
    code, shown = on_a_terminal(
        home.variables, "db", "list", typed=f"{home.secret}\n", after="Secret of"
    )
    assert code == 0
    assert f"Secret of {home.client_id}: " in shown
    assert "chatdb" in shown


# -- completion ------------------------------------------------------------------------------------

ASK = """
eval "$(strongroom --show-completion)"
complete -p strongroom >/dev/null
COMP_WORDS=(%s) COMP_CWORD=%d
_strongroom_completion strongroom
printf '%%s\\n' "${COMPREPLY[@]}"
"""


def completed(named: dict[str, str], words: str) -> list[str]:
    """Return what a real bash completes of words, after the command itself has told it how."""
    path = f"{Path(COMMAND).parent}:{os.environ['PATH']}"
    ended = subprocess.run(  # noqa: S603 - the project's own command
        ["/bin/bash", "--norc", "-c", ASK % (words, len(words.split(" ")) - 1)],
        env=others() | named | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.split()


def test_bash_completes_commands_and_databases(deployment: Deployment) -> None:
    """Tab does nothing, or types an error into the middle of a line."""
    named = environment(deployment)
    assert completed(named, "strongroom ke") == ["keys"]
    assert completed(named, "strongroom backup pr") == ["prune"]
    assert completed(named, "strongroom get chat") == ["chatdb"]
    # Nobody is there, or nobody knows where: nothing is completed, and nothing is said.
    assert completed(named | {"STRONGROOM_URL": "http://127.0.0.1:1"}, "strongroom get chat") == []
    assert completed({"XDG_CONFIG_HOME": "/nowhere"}, "strongroom get chat") == []


def test_a_keyring_that_waits_for_somebody_holds_no_tab(strongroom: Command, home: Home) -> None:
    """Tab holds the shell until somebody finds the window that asks for a password."""
    assert strongroom({}, *home.add(), typed=f"{home.secret}\n").returncode == 0
    assert completed(home.variables, "strongroom get chat") == ["chatdb"]
    waiting = home.variables | {
        "PYTHON_KEYRING_BACKEND": f"{WaitingKeyring.__module__}.WaitingKeyring"
    }
    assert completed(waiting, "strongroom get chat") == []
