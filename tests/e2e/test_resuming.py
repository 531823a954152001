"""Exports and imports that are killed go on: nothing is lost, and nothing comes twice."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from strongroom.durable import LocalFilesystem
from tests.support.commands import COMMAND, SECONDS, Ended, environment, others, ran, refusal
from tests.support.deployment import Deployment, wait_until

DATABASE = "cli-resumed"
COUNT = 2_500
_ATTEMPTS = 10


@dataclass(frozen=True)
class Place:
    """A database of these tests' own, and a directory."""

    named: dict[str, str]
    directory: Path

    def run(self, *words: str) -> Ended:
        """Run a command to its end."""
        return ran(self.named, *words)

    def killed(self, kept: Path, *words: str, after: int = 1) -> bool:
        """Kill a command once it has kept that it is so far; tell whether it was in time."""

        def is_there() -> bool:
            # Whoever comes to the end removes it.
            with suppress(FileNotFoundError):
                return bool(json.loads(kept.read_text()).get("next_number", after) >= after)
            return False

        with subprocess.Popen(  # noqa: S603 - the project's own command
            [COMMAND, *words],
            env=others() | self.named,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert wait_until(lambda: is_there() or process.poll() is not None, SECONDS)
            process.kill()
        return process.returncode < 0


@pytest.fixture
def place(deployment: Deployment, tmp_path: Path) -> Iterator[Place]:
    """A database that takes anything."""
    with deployment.client() as client:
        client.admin.put_schema("cli-resumed", schema=True)
        client.admin.put_database(DATABASE, "cli-resumed")
        yield Place(environment(deployment), tmp_path)
        client.admin.delete_database(DATABASE)
        client.admin.delete_schema("cli-resumed")


def entities(path: Path) -> list[str]:
    """Return the keys in a file of lines."""
    return [json.loads(line)["key"] for line in path.read_text().splitlines()]


def test_what_is_killed_goes_on(place: Place) -> None:
    """After a kill somebody begins a day's copying anew; or lines are missing, or come twice."""
    source, out = place.directory / "in.json", place.directory / "out"
    keys = [f"e/{n:05}" for n in range(COUNT)]
    source.write_text(json.dumps({key: {"n": key} for key in keys}))
    kept = Path(f"{source}.import")
    into = ("import", DATABASE, str(source))
    assert place.killed(kept, *into)
    begun = json.loads(kept.read_text())
    assert place.killed(kept, *into, "--resume", after=201)
    state = json.loads(kept.read_text())
    assert 201 <= state["next_number"] <= COUNT
    assert state["run"] == begun["run"], "the first batch had another idempotency key"
    done = place.run(*into, "--resume", "--json")
    assert json.loads(done.stdout) == {"written": COUNT, "refused": 0}
    assert not kept.exists()
    listed = place.run("list", DATABASE).stdout.splitlines()
    assert sorted(listed) == [f"{key}\t1" for key in keys], "each was written once"
    exported = Path(f"{out}.export")
    from_there = ("export", DATABASE, str(out))
    for _ in range(_ATTEMPTS):
        if place.killed(exported, *from_there) and exported.exists():
            break
        out.unlink(missing_ok=True)
    part = Path(f"{out}.part")
    assert (out.exists(), part.stat().st_mode & 0o777) == (False, 0o600)
    with part.open("ab") as file:
        file.write(b'{"key":"half a li')
    assert "go on with --resume" in refusal(place.run(*from_there))
    with part.open("rb+") as file:
        assert LocalFilesystem().try_lock_file(file.fileno())
        assert "another export writes" in refusal(place.run(*from_there, "--resume"))
    os.link(part, f"{part}.moved")
    assert "is whole, under another name" in refusal(place.run(*from_there, "--resume"))
    Path(f"{part}.moved").unlink()
    other = place.run("export", DATABASE, str(out), "--prefix", "e/0", "--resume")
    assert "of an export of something else" in refusal(other)
    ended = place.run(*from_there, "--resume", "--json")
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["written"], told["damaged"]) == (0, COUNT, 0)
    assert told["begun_at"] < told["ended_at"]
    assert sorted(entities(out)) == keys
    assert [path.name for path in sorted(place.directory.iterdir())] == ["in.json", "out"]
    assert "is not overwritten" in refusal(place.run(*from_there, "--resume"))


def test_what_is_refused_is_kept_with_the_reason(place: Place) -> None:
    """Of a million entities ten are refused, and somebody has to find them in the log."""
    source, rejects = place.directory / "in", place.directory / "rejects"
    good, bad = '{"key":"g/%d","entity":%d}\n', '{"key":"b/%d","entity":{"a":1,"a":2}}\n'
    source.write_text("".join((good % (n, n)) + (bad % n) * (n % 50 == 0) for n in range(150)))
    ended = place.run("import", DATABASE, str(source), "--rejects", str(rejects))
    assert (ended.returncode, ended.stdout) == (5, "150 entities written, 3 refused\n")
    assert entities(rejects) == ["b/0", "b/50", "b/100"]
    assert rejects.stat().st_mode & 0o777 == 0o600
    first = json.loads(rejects.read_text().splitlines()[0])
    assert (first["line"], first["error"]) == (2, "invalid-json")
    assert '{"a":1,"a":2}' in rejects.read_text(), "as it was"
    mended = rejects.read_text().replace('"a":1,', "")
    rejects.write_text(mended)
    again = ("import", DATABASE, str(rejects))
    for one in (again, ("import", DATABASE, str(source), "--from-line", "100")):
        assert "is not overwritten" in refusal(place.run(*one, "--rejects", str(rejects)))
    assert rejects.read_text() == mended, "what somebody has mended is gone"
    assert place.run(*again).stdout == "3 entities written, 0 refused\n"


def test_an_import_goes_on_where_it_was_and_nowhere_else(place: Place) -> None:
    """A half of a file is in one deployment, the other half in another; the command says: done."""
    source, rejects = place.directory / "in", place.directory / "rejects"
    refused, good, cut_off = '{"x":1,"x":2}}', "1}", "["
    source.write_text("".join(f'{{"key":"a","entity":{n}\n' for n in (refused, good, cut_off)))
    into = ("import", DATABASE, str(source), "--rejects", str(rejects))
    assert place.run(*into).returncode != 0
    kept = rejects.read_text()
    assert kept.startswith('{"key":"a"')
    elsewhere = place.named | {
        "STRONGROOM_URL": place.named["STRONGROOM_URL"].replace("127.0.0.1", "localhost")
    }
    assert "is of another" in refusal(ran(elsewhere, *into, "--resume"))
    for other in (into[:3], (*into[:4], f"{rejects}.2")):
        assert "--rejects" in refusal(place.run(*other, "--resume"))
    place.run(*into, "--resume")
    assert rejects.read_text() == kept
    rejects.write_text("")
    assert "shorter than it was" in refusal(place.run(*into, "--resume"))


def test_a_file_that_was_changed_is_not_gone_on_with(place: Place) -> None:
    """An import goes on in the middle of another file."""
    source = place.directory / "in"
    source.write_text('{"key":"a","entity":1}\n{"key":"b","entity":{"x":1,"x":2}}\n')
    stopped = place.run("import", DATABASE, str(source))
    assert (stopped.returncode, stopped.stdout) == (5, "")
    assert stopped.stderr.endswith("go on with --from-line 2, or --resume\n")
    source.write_text('{"key":"a","entity":1}\n{"key":"b","entity":{"x":1}}\n')
    changed = place.run("import", DATABASE, str(source), "--resume")
    assert "the file was changed since" in refusal(changed)
    assert place.run("import", DATABASE, str(source), "--from-line", "2").returncode == 0
    piped = ran(place.named, "import", DATABASE, "-", "--resume", typed="")
    assert "--from-line" in refusal(piped)
