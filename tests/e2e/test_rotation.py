"""A rotation while clients work: nobody notices, and every later write lies under the new key."""

import json
import threading
import uuid
from collections import Counter

import httpx

from strongroom.clock import SystemClock, from_rfc3339
from tests.support.deployment import Deployment, wait_until

LATEST_MS = 3_000
"""Three times what is promised, for a machine that has other things to do; 0.2 s were measured."""


def test_nobody_notices_a_rotation(deployment: Deployment) -> None:
    """A rotation fails requests, wants a restart, or leaves a worker under the old key."""
    answers: Counter[int] = Counter()
    stopping = threading.Event()

    def work(name: str) -> None:
        with deployment.http() as http:
            for number in range(10_000):
                key = f"rotating-{name}-{number}"
                answers[http.put("/entity/chatdb", json={key: {"chat": []}}).status_code] += 1
                answers[http.get("/entity/chatdb", params={"key": key}).status_code] += 1
                if stopping.is_set():
                    return

    clients = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for client in clients:
        client.start()
    with deployment.http() as http:
        old = _active(http)
        assert wait_until(lambda: sum(answers.values()) > len(clients), 30), "nobody has written"
        rotated = http.post("/keys/rotate")
        assert rotated.status_code == 201
        answered_ms = SystemClock().wall_ms()
        new = rotated.json()["key_id"]
        assert new != old
        assert _active(http) == new
        assert wait_until(lambda: {_written_under(deployment, http) for _ in range(6)} == {new}, 30)
        assert http.get("/entity/chatdb", params={"key": "rotating-a-0"}).status_code == 200
    stopping.set()
    for client in clients:
        client.join()
    assert set(answers) <= {200, 201}
    assert sum(answers.values()) > 20
    latest_ms = max(_written_ms(deployment, old))
    assert latest_ms - answered_ms < LATEST_MS, "a worker went on under the old key"


def _written_ms(deployment: Deployment, key_id: str) -> list[int]:
    """Return when each entity was written that lies under a key."""
    sidecars = (deployment.shared_dir / "files" / "chatdb").glob("*/*.meta.json")
    read = (json.loads(path.read_text()) for path in sidecars)
    return [from_rfc3339(one["updated_at"]) for one in read if one["key_id"] == key_id]


def _active(http: httpx.Client) -> str:
    keys = http.get("/keys").json()["keys"]
    (active,) = [key["key_id"] for key in keys if key["state"] == "active"]
    for key in keys:
        told = {"written_bytes"} if key["key_id"] == active else set()
        assert set(key) == {"key_id", "state", "created_at"} | told
    return str(active)


def _written_under(deployment: Deployment, http: httpx.Client) -> str:
    """Return the key of an entity that was written this moment, whichever worker it went to."""
    key = f"rotated-{uuid.uuid4().hex}"
    name = f"r{uuid.uuid4().hex[:12]}"
    assert http.put(f"/databases/{name}", json={"schema_id": "chat.v1"}).status_code == 201
    assert http.put(f"/entity/{name}", json={key: {"chat": []}}).status_code == 201
    (sidecar,) = (deployment.shared_dir / "files" / name).glob("*/*.meta.json")
    return str(json.loads(sidecar.read_text())["key_id"])
