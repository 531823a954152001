"""From the start of the packaged Lambda's process to its answer.

The floor is another function in the same sandbox, under the same runtime client, with the same
layer: it imports chalice, grpc, boto3 and aws-encryption-sdk, makes one KMS client, has it open the
keyring's root with one Decrypt, and connects one channel of mutual TLS to the same worker. Both
are started in turn; each start is a new process. What is set against each other is the time of the
processor: on a machine that others use too, the time that a client waits says little.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.figure import Figure, NotHereError, Pair, Pairs, WrongAnswerError, at_most
from benchmarks.ground import Ground
from strongroom.rpc import tls
from tests.support.deployment import CHAT, Deployment
from tests.support.lambda_sandbox import (
    LambdaFunction,
    Sandbox,
    api_gateway_event,
    environment_of,
)

_FLOOR: Final = Path(__file__).parents[1] / "floors" / "cold_start.py"
_PACKAGES: Final = Path(os.environ.get("STRONGROOM_BENCH_PACKAGES", "build/lambda"))
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def _pairs(ground: Ground) -> Pairs:
    if not (_PACKAGES / "function.zip").exists():
        raise NotHereError("there is no package of the Lambda: make package")
    sandbox = Sandbox(ground.folder("sandbox")).unpack(
        _PACKAGES / "function.zip", _PACKAGES / "layer.zip"
    )
    (sandbox.task / "floor.py").write_bytes(_FLOOR.read_bytes())
    with _deployment(ground) as deployment:
        environment = environment_of(deployment.facts["pids"]["rest"])
        get, opened = _events(deployment)
        while True:
            took_ms, ours_ms = _start(sandbox, environment, get, "app.app")
            waited_ms, floor_ms = _start(sandbox, environment, opened, "floor.handler")
            yield Pair(ours_ms, floor_ms, {"wait_ms": took_ms, "wait_of_floor_ms": waited_ms})


@contextmanager
def _deployment(ground: Ground) -> Iterator[Deployment]:
    """Run one whose processes show their settings."""
    running = Deployment(ground.folder("lambda"), ("--workers", "1", "--no-fork")).start()
    try:
        yield running
    finally:
        running.stop()


def _events(deployment: Deployment) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return what both functions are asked."""
    with deployment.http() as client:
        client.put("/entity/chatdb", json={"cold": CHAT}).raise_for_status()
        worker = client.get("/workers").json()["workers"][0]
        authorization = client.headers["authorization"]
    get = api_gateway_event(
        "GET",
        "/entity/chatdb?key=cold",
        resource="/entity/{database}",
        parameters={"database": "chatdb"},
        headers={"Authorization": authorization},
    )
    keyring = msgspec.json.decode((deployment.shared_dir / "control" / "keyring.json").read_bytes())
    opened = {
        "root": keyring["root"],
        "address": worker["address"],
        "server_name": tls.worker_name(worker["worker_id"]),
    }
    return get, opened


def _start(
    sandbox: Sandbox, environment: Mapping[str, str], event: Mapping[str, Any], handler: str
) -> tuple[float, float]:
    """Return the milliseconds from the start of a process to its answer, and of the processor."""
    with LambdaFunction(sandbox, environment, handler) as function:
        answer = function.invoke(event)
        took_ms = (time.monotonic() - function.started_s) * 1000
        fields = Path(f"/proc/{function.pid}/stat").read_text().rpartition(")")[2].split()
    is_right = handler != "app.app" or json.loads(answer["body"]) == {"cold": CHAT}  # noqa: TID251
    if answer["statusCode"] != 200 or not is_right:  # noqa: PLR2004 - HTTP's
        raise WrongAnswerError(f"{handler}: {answer}")
    # User and system time, proc(5).
    return took_ms, (int(fields[11]) + int(fields[12])) / _TICKS * 1000


FIGURES: Final = (
    Figure(
        name="cold-start",
        measures="the packaged Lambda from its start to its first answer, time of the processor",
        floor="its imports, one KMS client, one Decrypt, one channel of mutual TLS",
        unit="ms",
        goal=at_most(1.3),
        pairs=_pairs,
        rounds=7,
    ),
)
