"""A request is found again in the logs of every process that it went through."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from strongroom_pb.v1 import entity_pb2
from tests.support.deployment import CHAT, Deployment, wait_until

SECONDS = 10.0


@pytest.fixture
def damaged(deployment: Deployment) -> Iterator[str]:
    """A database with an entity, `a`, whose file does not verify."""
    name = f"traced-{uuid.uuid4().hex[:8]}"
    with deployment.http() as http:
        assert http.put(f"/databases/{name}", json={"schema_id": "chat.v1"}).status_code == 201
        assert http.put(f"/entity/{name}", json={"a": CHAT}).status_code == 201
        (blob,) = (deployment.shared_dir / "files" / name).rglob("*.json.enc")
        (sidecar,) = (deployment.shared_dir / "files" / name).rglob("*.meta.json")
        blob.write_bytes(blob.read_bytes()[:-1] + b"\0")
        sidecar.unlink()
        yield name
        # Others rewrap what lies in this deployment, deleted databases too.
        blob.unlink()
        assert http.delete(f"/databases/{name}").status_code == 204


def _lines(deployment: Deployment, request_id: str) -> list[dict[str, Any]]:
    """Return the log lines of the workers about a request."""
    logs: list[Path] = sorted((deployment.root / "run").glob("worker-*.log"))
    assert logs
    lines = [line for log in logs for line in log.read_text().splitlines()]
    found = [json.loads(line) for line in lines if request_id in line]
    return [line for line in found if line["process"] != "main-worker-rest"]


def _traceparent() -> tuple[str, str]:
    trace_id = uuid.uuid4().hex
    return trace_id, f"00-{trace_id}-b7ad6b7169203331-01"


def test_over_rest(deployment: Deployment, damaged: str) -> None:
    """A client that quotes its request id, or has a trace, is told nothing of what went wrong."""
    request_id, (trace_id, traceparent) = f"rest-{uuid.uuid4().hex}", _traceparent()
    headers = {"X-Request-ID": request_id, "traceparent": traceparent}
    with deployment.http() as http:
        answer: httpx.Response = http.get(f"/entity/{damaged}?key=a", headers=headers)
    assert answer.status_code == 500
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"] == request_id
    assert wait_until(lambda: bool(_lines(deployment, request_id)), SECONDS)
    (line,) = _lines(deployment, request_id)
    assert (line["code"], line["trace_id"]) == ("integrity-error", trace_id)
    assert line["database"] == damaged


def test_over_grpc(deployment: Deployment, damaged: str) -> None:
    """The same, for a client of the gRPC face."""
    request_id, (trace_id, traceparent) = f"grpc-{uuid.uuid4().hex}", _traceparent()
    stub, metadata = deployment.grpc()
    named = (*metadata, ("x-request-id", request_id), ("traceparent", traceparent))
    request = entity_pb2.GetEntityRequest(database=damaged, key="a")
    with pytest.raises(grpc.RpcError) as refused:
        stub.GetEntity(request, metadata=named)
    assert refused.value.code() == grpc.StatusCode.DATA_LOSS
    assert wait_until(lambda: bool(_lines(deployment, request_id)), SECONDS)
    (line,) = _lines(deployment, request_id)
    assert (line["code"], line["trace_id"]) == ("integrity-error", trace_id)
