"""Keys, jobs and backups over REST: statuses and bodies, and what is refused before it is done."""

import json
from typing import Any

import msgspec
import pytest

from main_api.domain import jobs
from main_api.domain.grants import Action
from main_api.domain.jobs import Pass, Phase, Use
from main_api.rest import routes
from strongroom import keyring, limits
from tests.support.mains import Built, MainRig, grant
from tests.support.wsgi import Answer, WsgiClient

JOB_MEMBERS = {
    "job_id",
    "kind",
    "state",
    "phase",
    "key_ids",
    "done",
    "total",
    "rewrapped",
    "left",
    "unreadable",
    "keyless",
    "detail",
    "backups",
    "exports",
    "created_at",
    "updated_at",
}


class Rig:
    """A Main Worker with an old data key and an active one, and an administrator."""

    def __init__(self) -> None:
        """Put it together; nobody runs its jobs."""
        self.main = MainRig()
        self.app = routes.build(Built(self.main.main()))
        self.http = self.client("root")
        assert self.http("POST", "/keys/rotate").status == 201
        self.old, self.active = (key["key_id"] for key in self.data_keys())

    def client(self, client_id: str, *actions: Action, database: str = "*") -> WsgiClient:
        """Return a client with some actions; without any it may do everything."""
        grants = [grant(database, *actions)] if actions else []
        bearer = self.main.bearer(self.main.add_client(client_id, *grants))
        return WsgiClient(self.app, authorization=bearer)

    def data_keys(self) -> list[dict[str, Any]]:
        """Return the data keys."""
        found: list[dict[str, Any]] = self.http("GET", "/keys").json()["keys"]
        return found

    def jobs(self) -> list[dict[str, Any]]:
        """Return the jobs that are kept."""
        found: list[dict[str, Any]] = self.http("GET", "/jobs").json()["jobs"]
        return found

    def order(self, target: str, body: bytes = b"") -> dict[str, Any]:
        """Order a job and return it."""
        answer = self.http("POST", target, body)
        assert (answer.status, set(answer.json())) == (202, {"job_id"}), answer.body
        assert answer.headers["cache-control"] == "no-store"
        found: dict[str, Any] = self.http("GET", f"/jobs/{answer.json()['job_id']}").json()
        return found

    def destroy(self, key_id: str, body: bytes = b"") -> Answer:
        """Order the destruction of a key."""
        return self.http("POST", f"/keys/{key_id}/destroy", body)


@pytest.fixture
def rig() -> Rig:
    """Return an administrator's view of a Main Worker."""
    return Rig()


@pytest.mark.parametrize(
    ("bound", "told"), [("DATA_KEYS_MAX", "4 data keys"), ("DATA_KEYS_EVER_MAX", "ever had 4")]
)
def test_a_keyring_that_is_full_gets_no_key(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, bound: str, told: str
) -> None:
    """A script that rotates in a loop makes a keyring that no worker can be given any more."""
    monkeypatch.setattr(limits, bound, 4)
    answers = [rig.http("POST", "/keys/rotate") for _ in range(4)]
    assert [answer.status for answer in answers] == [201, 201, 409, 409]
    assert told in answers[-1].json()["detail"]
    assert [key["state"] for key in rig.data_keys()] == [*["decrypt-only"] * 3, "active"]


def refusal(answer: Answer) -> tuple[int, str]:
    """Return the status and code of an answer that has to be a problem."""
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status, str(answer.json()["type"]).rpartition(":")[2]


# -- keys ------------------------------------------------------------------------------------------


def test_a_rotation_is_seen_in_the_list(rig: Rig) -> None:
    """An administrator does not see which key is active, or sees key material."""
    old, active = rig.data_keys()
    assert (old["state"], active["state"]) == ("decrypt-only", "active")
    assert set(old) == {"key_id", "state", "created_at"}
    assert set(active) == {*old, "written_bytes"}
    made = rig.http("POST", "/keys/rotate")
    assert (made.status, set(made.json())) == (201, {"key_id"})
    assert [key["state"] for key in rig.data_keys()] == ["decrypt-only", "decrypt-only", "active"]
    assert rig.data_keys()[-1]["key_id"] == made.json()["key_id"]
    rig.main.live.change(lambda current: keyring.without(current, rig.old))
    destroyed = rig.data_keys()[0]
    assert (destroyed["key_id"], destroyed["state"]) == (rig.old, "destroyed")


def test_a_rewrap_is_a_job(rig: Rig) -> None:
    """A rewrap cannot be followed, or asking twice orders it twice."""
    job = rig.order("/keys/rewrap")
    assert set(job) == JOB_MEMBERS
    assert (job["kind"], job["state"], job["phase"]) == ("rewrap", "running", "counting")
    assert job["key_ids"] == [rig.old]
    assert job["left"] == {"files": 0, "entities": 0}
    assert rig.order("/keys/rewrap", b"{}") == job
    assert rig.jobs() == [job]


@pytest.mark.parametrize(
    ("body", "rate"),
    [
        (b"", 0),
        (b"{}", 0),
        (b'{"files_per_second": null}', 0),
        (b'{"files_per_second": 1}', 1),
        (b'{"files_per_second": 1.5}', 1.5),
        (b'{"files_per_second": 1e6}', 1_000_000),
    ],
    ids=str,
)
def test_a_rewrap_may_be_slowed_down(rig: Rig, body: bytes, rate: float) -> None:
    """The rate that was asked for is not the one that is kept."""
    job = rig.order("/keys/rewrap", body)
    record = rig.main.memory.jobs.get(job["job_id"])
    assert record is not None
    assert record.files_per_second == rate


BAD_REWRAPS = [
    b'{"files_per_second": 0}',
    b'{"files_per_second": 0.999}',
    b'{"files_per_second": -1}',
    b'{"files_per_second": 1000001}',
    b'{"files_per_second": 1e400}',
    b'{"files_per_second": NaN}',
    b'{"files_per_second": Infinity}',
    b'{"files_per_second": "5"}',
    b'{"files_per_second": true}',
    b'{"files_per_second": [5]}',
    b'{"files_per_second": 5, "files_per_second": 6}',
    b'{"files_per_secund": 5}',
    b'{"rate": 5}',
    b"[]",
    b"5",
    b"null",
    b"{",
    b"\xff",
    b" ",
]


@pytest.mark.parametrize("body", BAD_REWRAPS, ids=repr)
def test_a_bad_order_to_rewrap_is_refused(rig: Rig, body: bytes) -> None:
    """A rewrap begins at another rate than was meant."""
    status, code = refusal(rig.http("POST", "/keys/rewrap", body))
    assert status == 400
    assert code in {"invalid-argument", "invalid-json"}
    assert rig.jobs() == []


def test_an_order_says_that_it_is_json(rig: Rig) -> None:
    """What is no JSON is taken for it."""
    for target in ("/keys/rewrap", f"/keys/{rig.old}/destroy"):
        answer = rig.http("POST", target, b"{}", {"content-type": "text/plain"})
        assert refusal(answer) == (415, "unsupported-media-type")
        large = b'{"a": "' + b"x" * limits.MESSAGE_BYTES_MAX + b'"}'
        assert refusal(rig.http("POST", target, large)) == (413, "too-large")
    assert rig.jobs() == []


# -- destroying ------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"{}", b'{"shred": false}', b'{"entities": null}'], ids=str)
def test_a_key_is_destroyed_by_a_job(rig: Rig, body: bytes) -> None:
    """An order to destroy a key if nothing needs it is taken for one to shred it."""
    job = rig.order(f"/keys/{rig.old}/destroy", body)
    assert set(job) == JOB_MEMBERS
    assert (job["kind"], job["phase"], job["key_ids"]) == ("destroy", "settling", [rig.old])
    record = rig.main.memory.jobs.get(job["job_id"])
    assert record is not None
    assert record.shred is False
    # It is ordered, not done.
    assert [key["state"] for key in rig.data_keys()] == ["decrypt-only", "active"]


@pytest.mark.parametrize("count", [0, 12, limits.ENTITIES_LOST_MAX])
def test_shredding_names_how_many_may_be_lost(rig: Rig, count: int) -> None:
    """More is lost than somebody has confirmed."""
    body = json.dumps({"shred": True, "entities": count}).encode()
    record = rig.main.memory.jobs.get(rig.order(f"/keys/{rig.old}/destroy", body)["job_id"])
    assert record is not None
    assert (record.shred, record.entities_accepted) == (True, count)
    assert msgspec.json.decode(msgspec.json.encode(record), type=jobs.JobRecord) == record


BAD_DESTROYS = [
    b'{"shred": true}',
    b'{"shred": true, "entities": null}',
    b'{"entities": 3}',
    b'{"shred": false, "entities": 3}',
    b'{"shred": false, "entities": 0}',
    b'{"shred": "true", "entities": 3}',
    b'{"shred": 1, "entities": 3}',
    b'{"shred": null, "entities": 3}',
    b'{"shred": true, "entities": -1}',
    b'{"shred": true, "entities": 1.5}',
    b'{"shred": true, "entities": NaN}',
    b'{"shred": true, "entities": true}',
    b'{"shred": true, "entities": "3"}',
    b'{"shred": true, "entities": 1e300}',
    b'{"shred": true, "entities": %d}' % (limits.ENTITIES_LOST_MAX + 1),
    b'{"shred": true, "entities": 3, "entities": 4}',
    b'{"shred": true, "entities": 3, "force": true}',
    b'{"Shred": true, "entities": 3}',
    b"[true, 3]",
    b"true",
    b"{",
]


@pytest.mark.parametrize("body", BAD_DESTROYS, ids=repr)
def test_a_bad_order_to_destroy_is_refused(rig: Rig, body: bytes) -> None:
    """Entities are lost by an order that was mistyped."""
    status, code = refusal(rig.destroy(rig.old, body))
    assert status == 400
    assert code in {"invalid-argument", "invalid-json"}
    assert rig.jobs() == []


def test_a_key_that_cannot_be_destroyed_is_told_so(rig: Rig) -> None:
    """The active key is destroyed, or somebody waits for the end of a job that has none."""
    shredding = b'{"shred": true, "entities": 9}'
    for body in (b"", shredding):
        for wrong in ("0" * 16, "..", "%2e%2e", "a%2fb", "%00", "%ff", "k" * 3_000, "{key_id}"):
            assert refusal(rig.destroy(wrong, body)) == (404, "not-found")
        assert refusal(rig.destroy(rig.active, body)) == (409, "conflict")
    assert "rotate first" in rig.destroy(rig.active).json()["detail"]
    rig.main.live.change(lambda current: keyring.without(current, rig.old))
    for body in (b"", shredding):
        assert refusal(rig.destroy(rig.old, body)) == (409, "conflict")
    assert rig.jobs() == []


def test_too_many_jobs_are_refused(rig: Rig) -> None:
    """Whoever orders in a loop fills the disk."""
    for _ in range(limits.JOBS_RUNNING_MAX):
        rig.order(f"/keys/{rig.old}/destroy")
    for answer in (rig.destroy(rig.old), rig.http("POST", "/keys/rewrap")):
        assert refusal(answer) == (409, "conflict")


# -- jobs ------------------------------------------------------------------------------------------


def test_a_job_tells_how_far_it_has_come(rig: Rig) -> None:
    """Who follows a job cannot tell how much is left, what it waits for, or why it failed."""
    job_id = rig.order("/keys/rewrap")["job_id"]
    record = rig.main.memory.jobs.get(job_id)
    assert record is not None
    seen = Pass(files=40, rewrapped=30, by_key={rig.old: Use(7, 5), rig.active: Use(33, 33)})
    under_way = msgspec.structs.replace(
        record, phase=Phase.REWRAPPING, seen=seen, total=100, rewrapped=1, detail="worker-1: slow"
    )
    rig.main.memory.jobs.put(job_id, under_way)
    shown = rig.http("GET", f"/jobs/{job_id}").json()
    assert (shown["done"], shown["total"], shown["rewrapped"]) == (40, 100, 31)
    assert shown["left"] == {"files": 7, "entities": 5}
    assert (shown["state"], shown["detail"]) == ("running", "worker-1: slow")
    refused = msgspec.structs.replace(
        under_way, state=jobs.State.FAILED, backups=("monday",), exports=("offline-1",)
    )
    rig.main.memory.jobs.put(job_id, refused)
    shown = rig.http("GET", f"/jobs/{job_id}").json()
    assert (shown["state"], shown["backups"], shown["exports"]) == (
        "failed",
        ["monday"],
        ["offline-1"],
    )


def test_jobs_are_listed_the_newest_first(rig: Rig) -> None:
    """An administrator looks for the job that was just ordered among old ones."""
    first = rig.order("/keys/rewrap")
    rig.main.clock.advance(1)
    second = rig.order(f"/keys/{rig.old}/destroy")
    assert rig.jobs() == [second, first]


@pytest.mark.parametrize(
    "job_id",
    ["none", "0" * 28, "..", "%2e%2e", "a%2fb", "%00", "%ff", "%c3%a9", "x" * 3_000, "{job_id}"],
)
def test_an_odd_job_is_not_there(rig: Rig, job_id: str) -> None:
    """An odd id is a defect, or shows another file."""
    rig.order("/keys/rewrap")
    assert refusal(rig.http("GET", f"/jobs/{job_id}")) == (404, "not-found")


# -- backups ---------------------------------------------------------------------------------------


def test_a_backup_is_put_on_record_and_taken_off(rig: Rig) -> None:
    """A backup that needs a key is not known, or stays when it is gone."""
    assert rig.http("GET", "/backups").json() == {"backups": []}
    made = rig.http("PUT", "/backups/monday")
    assert made.status == 201
    assert set(made.json()) == {"backup_id", "recorded_at", "key_ids"}
    assert made.json()["key_ids"] == [rig.old, rig.active]
    assert rig.http("GET", "/backups").json() == {"backups": [made.json()]}
    assert refusal(rig.http("PUT", "/backups/monday")) == (409, "conflict")
    gone = rig.http("DELETE", "/backups/monday")
    assert (gone.status, gone.body) == (204, b"")
    assert refusal(rig.http("DELETE", "/backups/monday")) == (404, "not-found")
    assert rig.http("GET", "/backups").json() == {"backups": []}


@pytest.mark.parametrize("name", [".", "-a", "a%20b", "%c3%a9", "x" * 65, "{backup_id}"])
def test_a_bad_name_of_a_backup_is_refused(rig: Rig, name: str) -> None:
    """A name reaches another file, or is a defect."""
    for method in ("PUT", "DELETE"):
        assert refusal(rig.http(method, f"/backups/{name}")) == (400, "invalid-argument")
    assert rig.http("GET", "/backups").json() == {"backups": []}


# -- who may, and what no path has -----------------------------------------------------------------

PATHS = [
    ("GET", "/keys"),
    ("POST", "/keys/rotate"),
    ("POST", "/keys/rewrap"),
    ("POST", "/keys/{key}/destroy"),
    ("GET", "/jobs"),
    ("GET", "/jobs/{job}"),
    ("GET", "/backups"),
    ("PUT", "/backups/{backup}"),
    ("DELETE", "/backups/{backup}"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_who_may_not_learns_nothing(rig: Rig, method: str, path: str) -> None:
    """Somebody without the right destroys a key, or learns what there is."""
    job = rig.order("/keys/rewrap")
    assert rig.http("PUT", "/backups/monday").status == 201
    everything = Action.READ, Action.WRITE, Action.DELETE
    clients = [
        rig.client("no-admin", *everything),
        rig.client("one-database", *everything, Action.ADMIN, database="chatdb"),
    ]
    there = {"key": rig.old, "job": job["job_id"], "backup": "monday"}
    answers = set()
    for client in clients:
        for names in (there, {"key": rig.active, "job": "none", "backup": "none"}):
            answer = client(method, path.format(**names))
            answers.add((*refusal(answer), answer.json()["detail"]))
    assert {answer[:2] for answer in answers} == {(403, "forbidden")}
    assert len(answers) == 1
    nobody = WsgiClient(rig.app)(method, path.format(**there))
    assert refusal(nobody) == (401, "unauthenticated")
    assert rig.jobs() == [job]
    assert [key["key_id"] for key in rig.data_keys()] == [rig.old, rig.active]
    assert len(rig.http("GET", "/backups").json()["backups"]) == 1


@pytest.mark.parametrize("query", ["dry_run=true", "shred=true", "limit=5", "%ff"])
@pytest.mark.parametrize(("method", "path"), PATHS)
def test_a_parameter_that_a_path_does_not_have_is_refused(
    rig: Rig, method: str, path: str, query: str
) -> None:
    """Somebody tries something out with dry_run=true, and it is done."""
    target = path.format(key=rig.old, job="none", backup="monday")
    answer = rig.http(method, f"{target}?{query}")
    assert refusal(answer) == (400, "invalid-argument")
    assert rig.jobs() == []
    assert len(rig.data_keys()) == 2
