"""A deployment is worked hard, and then nothing that it has left anywhere shows a secret.

The keys are those of the deployment's own keyring, opened with its own KMS. What is searched is
every file below the deployment's directory, its home and its temporary files among them, what its
processes have printed, what they tell about themselves, what they send to a collector of spans, and
what the system shows of them.
"""

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest

from cli.emulation.pki import CertificateAuthority
from main_api.adapters.keys import recovery_key
from strongroom.clock import SystemClock
from strongroom.errors import StrongroomError
from strongroom.rpc import tls
from tests.support.deployment import Deployment, kill, wait_until
from tests.support.faulty_worker import Fault, FaultyWorker
from tests.support.hard_work import DATABASE, RestClient, keep_writing, work_over_grpc
from tests.support.known_secrets import KnownSecrets
from tests.support.leaks import Search, files_below, shown_of_processes
from tests.support.otlp_collector import Collector, collecting

SECONDS = 40.0
KILLS = 3
ABOUT_ITSELF = (
    "/healthz",
    "/readyz",
    "/metrics",
    "/keys",
    "/workers",
    "/jobs",
    "/backups",
    "/keys/exports",
)


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector, to which every request is sent."""
    with collecting() as running:
        yield running


@pytest.fixture
def own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collector: Collector
) -> Iterator[Deployment]:
    """A deployment whose home and temporary files lie where they are searched."""
    for name in ("HOME", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    public = tmp_path / "recovery.pem.pub"
    public.write_bytes(recovery_key.make().public.pem)
    traced = {"STRONGROOM_OTLP_ENDPOINT": collector.url, "STRONGROOM_TRACE_RATIO": "1"}
    arguments = ("--recovery-public-key", str(public))
    running = Deployment(tmp_path, arguments, environment=traced).start()
    yield running
    assert running.stop() == 0


def test_nothing_shows_a_secret(
    own: Deployment, monkeypatch: pytest.MonkeyPatch, collector: Collector
) -> None:
    """A stolen disk, a log, a metric, a trace or `ps` shows a key, a document or a token."""
    known = KnownSecrets()
    known.add("client secret", own.facts["client_secret"])
    with own.http() as http:
        known.add_token("token over REST", http.headers["Authorization"].removeprefix("Bearer "))
        another_client(own, http, known)
        client = RestClient(http, known)
        client.succeed()
        client.fail()
        refusals = work_over_grpc(own, known)
        known.dig(own, monkeypatch)
        (old,) = (key["key_id"] for key in http.get("/keys").json()["keys"])
        assert http.post("/keys/rotate").status_code == 201
        client.succeed()
        export = http.post("/keys/export").json()["keyring"]
        (own.directory / "export").write_text(export)
        die_and_fail_within_writes(own, known)
        kill_workers_under_load(own, http, known)
        for path in ("/keys/rewrap", f"/keys/{old}/destroy"):
            finish(http, http.post(path))
        a_damaged_file(own, http, known)
        client.succeed()
        assert http.post("/verify", json={}).status_code == 200
        known.dig(own, monkeypatch)
        told = {path: http.get(path).content for path in ABOUT_ITSELF}
        told |= shown_of_processes(own.all_pids())
    urls = own.reload()["metrics_urls"]
    metrics = {url: httpx.get(url).content for url in (urls["grpc"], *urls["workers"].values())}
    assert all(b"\nstrongroom_" in one for one in (told["/metrics"], *metrics.values()))
    told |= metrics
    assert wait_until(lambda: any(span.name == "encrypt" for span in collector.spans), SECONDS)
    told["spans"] = bytes(collector.raw)
    assert {f"/proc/{pid}/cmdline" for pid in own.all_pids()} <= told.keys()
    search = Search(known.by_name)
    found = search.look_into(files_below(own.directory))
    found += [leak for place, content in told.items() for leak in search.look(place, content)]
    # These files hold what they are there for, and each only that (docs/security.md).
    assert {(leak.place, leak.secret) for leak in found} == by_design(own)
    assert {Path(place).stat().st_mode & 0o777 for place, _ in by_design(own)} == {0o600}
    # Who has sent a key may be told of it, but nobody is told a value, or a secret.
    private = {n: s for n, s in known.by_name.items() if not re.fullmatch(r"(key|name) \d+", n)}
    answers = Search(private)
    assert [leak for text in client.refusals + refusals for leak in answers.look("", text)] == []


def by_design(deployment: Deployment) -> set[tuple[str, str]]:
    """Return the files of `strongroom up` that hold secrets, and which."""
    root = deployment.root
    administrators = (root / "admin.json", root / "admin.curl", deployment.ready_file)
    return (
        {(str(root / "kms" / "master-key.json"), "master key")}
        | {(str(path), "client secret") for path in administrators}
        | {(str(path), "?") for path in (root / "pki").glob("*.key")}
    )


def another_client(deployment: Deployment, http: httpx.Client, known: KnownSecrets) -> None:
    """Make a client, whose secret is kept nowhere, and let it in."""
    grants = [{"database": "chatdb", "actions": ["read"], "key_prefix": known.word("key")}]
    made = http.put("/clients/reader", json={"grants": grants}).json()
    known.add("secret of another client", made["client_secret"])
    issued = httpx.post(
        f"{deployment.facts['http_url']}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=("reader", made["client_secret"]),
    )
    token = issued.json()["access_token"]
    known.add_token("token of another client", token)
    refused = http.put(DATABASE, json={}, headers={"Authorization": f"Bearer {token}"})
    assert refused.status_code in {400, 403}


def die_and_fail_within_writes(deployment: Deployment, known: KnownSecrets) -> None:
    """Kill a worker with a temporary file in its hands; let another fail in its own words."""
    authority = CertificateAuthority(deployment.root / "pki", SystemClock())
    spy = authority.issue("spy", [tls.worker_name("spy")])
    known.subscribe(deployment, "spy", spy)
    worker = FaultyWorker(deployment, "faulty")
    document = json.dumps({"chat": [{"type": "user", "text": known.word("text")}]}).encode()
    for fault in (Fault("fsync"), Fault("rename")):
        worker.start()
        worker.arm(fault)
        with ThreadPoolExecutor(1) as pool:
            put = pool.submit(worker.put, known.word("key"), document, SECONDS)
            assert wait_until(worker.is_stopped, SECONDS)
            worker.process.kill()
            worker.process.wait(SECONDS)
            assert isinstance(put.exception(SECONDS), StrongroomError)
    left = [p for p in files_below(deployment.shared_dir) if p.name.startswith(".tmp-")]
    assert len(left) >= 2
    worker.start()
    worker.arm(Fault("create", quotes=True))
    with pytest.raises(StrongroomError, match="internal error"):
        worker.put(known.word("key"), document, SECONDS)
    worker.end()
    (log,) = [path for path in files_below(deployment.directory) if path.name == "log"]
    assert "RuntimeError" in log.read_text()


def kill_workers_under_load(
    deployment: Deployment, http: httpx.Client, known: KnownSecrets
) -> None:
    """Kill one worker after the other while clients write."""
    over = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(keep_writing, http, known, over.is_set) for _ in "ab"]
        for number in range(KILLS):
            name = f"worker-{1 + number % 2}"
            kill(deployment.facts["pids"]["workers"][name])
            assert wait_until(partial(_has_come_back, deployment, name), SECONDS)
        over.set()
        assert sum(writer.result(SECONDS) for writer in writers) > 0


def _has_come_back(deployment: Deployment, name: str) -> bool:
    before = deployment.facts["pids"]["workers"][name]
    return bool(deployment.reload()["pids"]["workers"][name] != before)


def finish(http: httpx.Client, job: httpx.Response) -> None:
    """Wait for the end of a job."""
    path = f"/jobs/{job.json()['job_id']}"
    assert wait_until(lambda: http.get(path).json()["state"] != "running", SECONDS)
    assert http.get(path).json()["state"] == "done"


def a_damaged_file(deployment: Deployment, http: httpx.Client, known: KnownSecrets) -> None:
    """Flip a byte of a stored document, and ask for it in every way."""
    key = known.word("key")
    before = set(files_below(deployment.shared_dir / "files"))
    assert http.put(DATABASE, json={key: {"chat": []}}).status_code == 201
    (blob,) = {
        path
        for path in set(files_below(deployment.shared_dir / "files")) - before
        if path.name.endswith(".json.enc")
    }
    blob.write_bytes(blob.read_bytes()[:-1] + bytes([blob.read_bytes()[-1] ^ 1]))
    assert http.put(DATABASE, json={key: {"chat": []}}).status_code == 500
    assert http.get(DATABASE, params={"limit": 1000}).is_success
    assert http.post("/verify", json={}).json()["findings"]
