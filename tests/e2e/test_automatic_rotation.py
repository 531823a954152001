"""A deployment that rotates by itself while clients write."""

import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.deployment import CHAT, Deployment, wait_until

SECONDS = 60.0
AMOUNT_BYTES = 20 * 1024


def test_an_amount_that_is_written_has_the_key_replaced_and_nobody_notices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting does nothing, or requests fail each time that it does something."""
    monkeypatch.setenv("STRONGROOM_ROTATE_AFTER_GIB", f"{AMOUNT_BYTES / 1024**3:.9f}")
    deployment = Deployment(tmp_path).start()
    answers: Counter[int] = Counter()
    stopping = threading.Event()

    def write(name: str) -> None:
        with deployment.http() as http:
            while not stopping.is_set():
                written = http.put("/entity/chatdb", json={name: CHAT})
                answers[written.status_code] += 1
                answers[http.get("/entity/chatdb", params={"key": name}).status_code] += 1

    clients = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    try:
        for client in clients:
            client.start()
        with deployment.http() as http:
            first, *_ = _keys(http)
            assert wait_until(lambda: len(_keys(http)) > 1, SECONDS)
            assert wait_until(lambda: first["key_id"] not in _written_under(deployment), SECONDS)
            assert [key["state"] for key in _keys(http)].count("active") == 1
        assert wait_until(lambda: answers[200] > 100, SECONDS)
        log = (deployment.root / "run" / "grpc.log").read_text()
        assert '"reason": "amount"' in log
    finally:
        stopping.set()
        for client in clients:
            client.join()
        assert deployment.stop() == 0
    assert set(answers) <= {200, 201}


def _keys(http: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = http.get("/keys").json()["keys"]
    assert "written_bytes" in found[-1]
    return found


def _written_under(deployment: Deployment) -> set[str]:
    sidecars = (deployment.shared_dir / "files" / "chatdb").glob("*/*.meta.json")
    return {json.loads(sidecar.read_text())["key_id"] for sidecar in sidecars}
