"""`strongroom demo`, run as a reader of the documentation would: what it shows has to be true."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.deployment import wait_until

COMMAND = [str(Path(sys.executable).parent / "strongroom"), "demo"]
RUN_S = 60.0
STARTED_S = 30.0
# What would colour the output even where it goes to no terminal.
COLOURS = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS")
UNCHANGED = {"cache_hits": 0, "cache_misses": 0, "cache_stale": 0, "cache_evictions": 0}


def environment(temporary: Path, **more: str) -> dict[str, str]:
    """Return an environment in which the demo makes its directory below `temporary`."""
    temporary.mkdir()
    inherited = {name: value for name, value in os.environ.items() if name not in COLOURS}
    return {**inherited, "TMPDIR": str(temporary), **more}


def run(temporary: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end."""
    done = subprocess.run(  # noqa: S603 - our own command
        [*COMMAND, *arguments],
        env=environment(temporary, **more),
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert list(temporary.iterdir()) == [], "the deployment's directory was left behind"
    return done


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `strongroom demo --json` prints."""
    done = run(tmp_path_factory.mktemp("demo") / "tmp", "--json")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def steps(output: str) -> dict[str, Any]:
    """The steps by their names."""
    return {step["name"]: step for step in json.loads(output)}


def changes(read: dict[str, Any]) -> dict[str, int]:
    """Return by how much each counter rose around a read."""
    return {name: after - before for name, (before, after) in read["counters"].items()}


def test_every_step_is_taken_and_every_expectation_holds(steps: dict[str, Any]) -> None:
    """The demo leaves a step out, or ends well although something was not as it should be."""
    assert list(steps) == [
        "subscription",
        "put",
        "disk",
        "miss-and-hit",
        "eviction",
        "reload",
        "failover",
    ]
    for step in steps.values():
        assert len(step["expected"]) >= 3
        assert all(held is True for held in step["expected"].values()), step


def test_the_output_shows_no_token(output: str) -> None:
    """A reader who pastes the output into an issue gives a token away (every JWT begins so)."""
    assert "eyJ" not in output


def test_subscription_hands_the_keys_to_the_named_worker_only(steps: dict[str, Any]) -> None:
    """The demo does not show who gets keys and who is refused."""
    seen = steps["subscription"]["observed"]
    assert seen["certificate"]["dns_names"] == ["worker-1.worker.strongroom.internal"]
    assert (seen["token"]["subject"], seen["token"]["audience"]) == (
        "worker-1",
        "strongroom:worker",
    )
    assert {key["purpose"]: key["bytes"] for key in seen["keys"]} == {
        "data": 32,
        "naming": 32,
        "configuration": 32,
    }
    assert [(row["in_the_name_of"], row["answer"]) for row in seen["others_who_ask"]] == [
        ("worker-2", "unauthenticated"),
        ("worker-1", "unauthenticated"),
        ("worker-1", "unavailable"),
    ]
    assert [row["worker"] for row in seen["registry"]] == ["worker-1", "worker-2"]
    assert len({row["address"] for row in seen["registry"]}) == 2
    assert all(0 < row["lease_seconds_left"] <= seen["lease_seconds"] for row in seen["registry"])


def test_put_answers_with_status_and_version(steps: dict[str, Any]) -> None:
    """The demo's requests are not answered as the documentation says."""
    seen = steps["put"]["observed"]
    assert (seen["put_answer"]["status"], seen["put_answer"]["etag"]) == (201, '"1"')
    assert (seen["get_without_a_token"]["status"], seen["get_without_a_token"]["places"]) == (
        401,
        [],
    )
    assert seen["put_against_the_template"]["status"] == 422
    assert seen["put_against_the_template"]["places"] == ["/chat"]
    assert json.loads(seen["get_afterwards"]["body"]) == json.loads(seen["put_body"])
    assert seen["put_answer"]["x-request-id"] != seen["get_afterwards"]["x-request-id"]


def test_disk_holds_two_files_and_nothing_readable(steps: dict[str, Any]) -> None:
    """The demo does not show what an entity looks like at rest, or a secret is readable there."""
    seen = steps["disk"]["observed"]
    (blob, sidecar), header = seen["files"], seen["blob_header"]
    file_id = blob["file"].removesuffix(".json.enc")
    assert len(file_id) == 64
    assert sidecar["file"] == f"{file_id}.meta.json"
    assert seen["directory"] == f"shared/files/chatdb/{file_id[:2]}"
    assert {name: value for name, value in seen["sidecar"].items() if name != "tag"} == header
    assert (header["alg"], header["version"], header["schema_id"]) == (
        "AES-256-GCM",
        1,
        "chat.v1",
    )
    assert header["key_id"] in {
        key["key_id"]
        for key in steps["subscription"]["observed"]["keys"]
        if key["purpose"] == "data"
    }
    as_it_lies, *otherwise = seen["opening_the_blob"].values()
    assert as_it_lies == "opens, and has the document"
    assert otherwise == ["integrity-error"] * 3
    shared = seen["searched"][0]
    assert shared["files"] >= 7
    assert shared["bytes"] > blob["bytes"] + sidecar["bytes"]
    *secrets, public = seen["files_that_hold"].values()
    assert secrets == [0] * 7
    assert public >= 4


def test_miss_then_hit(steps: dict[str, Any]) -> None:
    """The demo does not show that the second read is served from memory."""
    seen = steps["miss-and-hit"]["observed"]
    first, second = seen["reads"]
    assert seen["written_by"] == steps["disk"]["observed"]["blob_header"]["writer_id"]
    assert first["worker"] == second["worker"] != seen["written_by"]
    assert changes(first) == {**UNCHANGED, "cache_misses": 1}
    assert changes(second) == {**UNCHANGED, "cache_hits": 1}
    assert first["text"] == second["text"]
    assert first["text"] in steps["put"]["observed"]["put_body"]


def test_eviction_keeps_the_cache_below_its_bound(steps: dict[str, Any]) -> None:
    """The demo does not show that the cache is bounded and lets the least recently used go."""
    seen = steps["eviction"]["observed"]
    *fitting, last = seen["writes"]
    bound = seen["bound_of_the_cache_in_bytes"]
    sizes = [seen["before"]["cache_bytes"], *(row["cache_bytes"] for row in fitting)]
    assert sizes == sorted(set(sizes))
    assert 0 < last["cache_bytes"] <= bound < 2 * sizes[-1] - sizes[-2]
    assert [row["cache_evictions"] for row in seen["writes"]] == [0] * len(fitting) + [1]
    kept, evicted = seen["reads"]
    assert changes(kept) == {**UNCHANGED, "cache_hits": 1}
    assert changes(evicted) == {**UNCHANGED, "cache_misses": 1, "cache_evictions": 1}
    assert evicted["entity"] == steps["miss-and-hit"]["observed"]["reads"][0]["entity"]


def test_another_workers_write_is_seen_by_the_next_read(steps: dict[str, Any]) -> None:
    """The demo does not show that a cached entity is never served after somebody has changed it."""
    seen = steps["reload"]["observed"]
    (held,), (first, second) = seen["read_before"], seen["reads_after"]
    assert seen["written"]["by"] != held["worker"] == first["worker"] == second["worker"]
    assert changes(held) == {**UNCHANGED, "cache_hits": 1}
    # Its copy has gone already where the writer's message was faster.
    assert changes(first) in (
        {**UNCHANGED, "cache_misses": 1},
        {**UNCHANGED, "cache_stale": 1, "cache_misses": 1},
    )
    assert changes(second) == {**UNCHANGED, "cache_hits": 1}
    assert [read["version"] for read in (held, first, second)] == [1, 2, 2]
    assert held["text"] != first["text"] == second["text"] == seen["written"]["text"]


def test_a_killed_worker_is_not_noticed(steps: dict[str, Any]) -> None:
    """The demo does not show that the other worker answers while one is dead."""
    seen = steps["failover"]["observed"]
    assert seen["killed"]["worker"] == seen["asked_first"] != seen["answered_by"]["worker"]
    assert seen["killed"]["ended_by"] == "SIGKILL"
    assert (seen["read_after"]["status"], seen["read_after"]["etag"]) == (200, '"2"')
    assert seen["read_after"] == seen["read_before"]
    before, after = seen["answered_by"]["reads"]
    assert after == before + 1
    assert seen["restarted"]["worker"] == seen["killed"]["worker"]
    assert seen["restarted"]["pid"] != seen["killed"]["pid"]
    assert seen["restarted"]["cache_entries"] == 0


def test_text_is_readable_without_a_terminal(tmp_path: Path) -> None:
    """`strongroom demo | less` shows escape codes, or the steps without their numbers."""
    done = run(tmp_path / "tmp")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert max(map(len, lines)) <= 100
    headings = [line for line in lines if re.match(r"\d+\. [A-Z]", line)]
    assert [line[:2] for line in headings] == [f"{n}." for n in range(1, 8)]
    assert any("cache misses 0 -> 1" in line for line in lines)
    assert not any(line.startswith("   NO") for line in lines)


def test_what_is_not_so_is_said_and_ends_in_an_error(tmp_path: Path) -> None:
    """The demo claims a hit where there was none: here nothing stays in a cache long enough."""
    done = run(tmp_path / "tmp", "--json", STRONGROOM_CACHE_TTL_SECONDS="0.000001")
    assert done.returncode == 1
    assert "miss-and-hit: the second read is a hit" in done.stderr.splitlines()
    steps = {step["name"]: step for step in json.loads(done.stdout)}
    assert steps["miss-and-hit"]["expected"]["the second read is a hit"] is False
    assert changes(steps["miss-and-hit"]["observed"]["reads"][1])["cache_hits"] == 0
    assert all(steps["put"]["expected"].values())


def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    """After Ctrl-C, processes with keys in memory go on, or their directory stays."""
    temporary = tmp_path / "tmp"
    with subprocess.Popen(  # noqa: S603 - our own command
        [*COMMAND, "--json"],
        env=environment(temporary),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert wait_until(lambda: any(temporary.glob("*/run/rest.log")), STARTED_S)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=RUN_S)
    assert process.returncode not in {0, -signal.SIGINT}
    assert out == b""
    assert list(temporary.iterdir()) == []
    assert wait_until(lambda: not running_in_session(process.pid), STARTED_S)


def running_in_session(session: int) -> list[str]:
    """Return the processes of a session; a zombie does not run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(of) == session and state != "Z":
            found.append(stat.parent.name)
    return found
