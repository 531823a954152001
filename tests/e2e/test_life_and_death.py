"""A deployment stopped, started, killed and crowded: what it keeps, and who goes with it."""

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.support.deployment import CHAT, Deployment, is_alive, kill, wait_until

SECONDS = 40.0


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment that the test may break."""
    running = Deployment(tmp_path).start()
    yield running
    if not running.process_ended():
        running.stop()


def test_a_stop_and_a_start_lose_nothing(own: Deployment) -> None:
    """After a restart the data is unreadable, or the client is unknown."""
    with own.http() as http:
        assert http.put("/entity/chatdb", json={"kept": CHAT}).status_code == 201
    before = own.facts
    assert own.stop(signal.SIGINT) == 0
    assert not own.ready_file.exists()
    own.start()
    assert own.facts["client_secret"] == before["client_secret"]
    with own.http() as http:
        assert http.get("/entity/chatdb", params={"key": "kept"}).json() == {"kept": CHAT}
        assert http.put("/entity/chatdb", json={"kept": CHAT}).headers["ETag"] == '"2"'


def test_requests_go_on_through_the_other_worker_when_one_is_killed(own: Deployment) -> None:
    """The death of one worker loses an acknowledged write, or stops the service."""
    victim = own.facts["pids"]["workers"]["worker-1"]
    acknowledged: dict[str, int] = {}
    unexpected: list[str] = []
    stopping = threading.Event()

    def write(writer: int) -> None:
        with own.http() as http:
            number = 0
            while not stopping.is_set():
                number += 1
                key = f"w{writer}-{number % 7}"
                answer = http.put("/entity/chatdb", json={key: {"chat": [], "n": number}})
                if answer.status_code in {200, 201}:
                    acknowledged[key] = number
                else:
                    unexpected.append(answer.text)
                found = http.get("/entity/chatdb", params={"key": key})
                if found.status_code != 200 or found.json()[key]["n"] != acknowledged.get(key):
                    unexpected.append(found.text)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    assert wait_until(lambda: len(acknowledged) > 20, SECONDS)
    kill(victim)
    assert wait_until(lambda: own.reload()["pids"]["workers"]["worker-1"] != victim, SECONDS)
    assert wait_until(lambda: is_alive(own.reload()["pids"]["workers"]["worker-1"]), SECONDS)
    stopping.set()
    for thread in threads:
        thread.join(30)
    assert unexpected == []
    with own.http() as http:
        for key, number in acknowledged.items():
            assert http.get("/entity/chatdb", params={"key": key}).json()[key]["n"] == number


def test_without_a_worker_the_answer_says_when_to_try_again(own: Deployment) -> None:
    """A client hangs, or is told nonsense, while no worker is there."""
    with own.http() as http:
        http.put("/entity/chatdb", json={"there": CHAT})
        for pid in own.facts["pids"]["workers"].values():
            kill(pid)
        answer = http.get("/entity/chatdb", params={"key": "there"})
        if answer.status_code != 200:
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["Retry-After"]) >= 1

        def served() -> bool:
            return http.get("/entity/chatdb", params={"key": "there"}).status_code == 200

        assert wait_until(served, SECONDS)


@pytest.mark.parametrize("which", ["rest", "grpc"])
def test_a_killed_main_worker_comes_back_at_the_same_address(own: Deployment, which: str) -> None:
    """The death of a face ends the deployment, or moves it."""
    with own.http() as http:
        http.put("/entity/chatdb", json={"there": CHAT})
    before = own.facts
    kill(before["pids"][which])
    assert wait_until(lambda: own.reload()["pids"][which] != before["pids"][which], SECONDS)
    assert (own.facts["http_url"], own.facts["grpc_address"]) == (
        before["http_url"],
        before["grpc_address"],
    )

    def served() -> bool:
        try:
            with own.http() as http:
                return http.get("/entity/chatdb", params={"key": "there"}).status_code == 200
        except httpx.TransportError:
            return False

    assert wait_until(served, SECONDS)


def test_a_hail_of_signals_ends_a_worker_once(own: Deployment) -> None:
    """A supervisor that signals twice leaves a worker hanging in its own handler."""
    victim = own.facts["pids"]["workers"]["worker-1"]
    for number in [signal.SIGTERM, signal.SIGINT] * 100:
        if not is_alive(victim):
            break
        with suppress(ProcessLookupError):
            os.kill(victim, number)
    assert wait_until(lambda: not is_alive(victim), SECONDS)
    with own.http() as http:
        assert http.put("/entity/chatdb", json={"there": CHAT}).status_code in {200, 201}


def test_every_process_dies_with_up(own: Deployment) -> None:
    """A killed `strongroom up` leaves processes that hold ports and keys."""
    pids = own.all_pids()
    children = {pid for pid in pids if is_alive(pid)} | _descendants(pids[0])
    assert own.process is not None
    kill(pids[0])
    own.process.wait(SECONDS)
    assert wait_until(lambda: not any(is_alive(pid) for pid in children), SECONDS)


def _children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def _descendants(pid: int) -> set[int]:
    children = _children(pid)
    return children | {d for child in children for d in _descendants(child)}


def test_processes_come_back_without_the_one_that_they_were_forked_from(own: Deployment) -> None:
    """A process that nobody knows of is killed, and the deployment never serves again."""
    before, before_pids = own.facts, own.all_pids()
    (nursery,) = _children(before["pids"]["up"])
    assert Path(f"/proc/{nursery}/comm").read_text() == "nursery\n"
    kill(nursery)

    def is_whole() -> bool:
        own.reload()
        return not {*own.all_pids()} & {*before_pids[1:]} and all(map(is_alive, own.all_pids()))

    assert wait_until(is_whole, SECONDS)
    assert own.facts["http_url"] == before["http_url"]

    def served() -> bool:
        try:
            with own.http() as http:
                return http.put("/entity/chatdb", json={"there": CHAT}).is_success
        except httpx.TransportError:
            return False

    assert wait_until(served, SECONDS)


def test_a_second_deployment_of_the_same_root_or_port_is_refused(
    own: Deployment, tmp_path: Path
) -> None:
    """Two deployments write one directory, or share a port's connections unnoticed."""
    port = own.facts["http_url"].rpartition(":")[2]
    command = [str(Path(sys.executable).parent / "strongroom"), "up", "--grpc", "127.0.0.1:0"]
    for options in (
        ["--root", str(own.root), "--http", "127.0.0.1:0"],
        ["--root", str(tmp_path / "other"), "--http", f"127.0.0.1:{port}"],
    ):
        ended = subprocess.run(  # noqa: S603 - the project's own command
            [*command, *options], capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 1
        assert "Traceback" not in ended.stderr
        assert "another `strongroom up`" in ended.stderr or "cannot listen" in ended.stderr
    with own.http() as http:
        assert http.get("/healthz").status_code == 200


def test_a_damaged_keyring_is_refused_and_left_as_it_is(own: Deployment) -> None:
    """A damaged keyring is replaced by a new one, and all data is lost."""
    keyring = own.shared_dir / "control" / "keyring.json"
    own.stop()
    members = json.loads(keyring.read_text())
    members["keys"][0]["state"] = "decrypt-only"
    damaged = json.dumps(members)
    keyring.write_text(damaged)
    broken = Deployment(own.directory)
    with pytest.raises(AssertionError, match="authentication code does not verify"):
        broken.start()
    assert broken.process is not None
    assert broken.process.wait(SECONDS) == 1
    assert keyring.read_text() == damaged


def test_rest_over_tls(tmp_path: Path) -> None:
    """`--https` serves in clear, or under a certificate that its CA does not vouch for."""
    import ssl  # noqa: PLC0415 - for this test alone

    secure = Deployment(tmp_path, ("--https",))
    secure.start()
    try:
        url = secure.facts["http_url"]
        assert url.startswith("https://")
        trusted = ssl.create_default_context(cafile=secure.facts["grpc_ca_file"])
        assert httpx.get(f"{url}/readyz", verify=trusted).status_code == 200
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/readyz")
    finally:
        assert secure.stop() == 0


def test_a_worker_is_listed_while_its_lease_runs(own: Deployment) -> None:
    """The registry lists a worker that has been dead for longer than its lease."""
    with own.http() as http:

        def listed() -> set[str]:
            return {one["worker_id"] for one in http.get("/workers").json()["workers"]}

        assert listed() == {"worker-1", "worker-2"}
        stopped = own.facts["pids"]["workers"]["worker-2"]
        os.kill(stopped, signal.SIGSTOP)
        assert wait_until(lambda: listed() == {"worker-1"}, SECONDS)
        os.kill(stopped, signal.SIGCONT)
        assert wait_until(lambda: listed() == {"worker-1", "worker-2"}, SECONDS)


def test_what_one_worker_wrote_the_others_serve(own: Deployment) -> None:
    """With several workers, an answer depends on who is asked."""
    with own.http() as http:
        for number in range(30):
            key = f"spread-{number}-{uuid.uuid4().hex}"
            http.put("/entity/chatdb", json={key: CHAT})
            assert http.get("/entity/chatdb", params={"key": key}).json() == {key: CHAT}
    sidecars = (own.shared_dir / "files").rglob("*.meta.json")
    writers = {json.loads(path.read_text())["writer_id"] for path in sidecars}
    assert writers == {"worker-1", "worker-2"}
