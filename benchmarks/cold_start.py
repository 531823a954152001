"""`python -m benchmarks.cold_start`: from the start of the packaged Lambda's process to its answer.

The floor is another function in the same sandbox, under the same runtime client, with the same
layer: it imports chalice, grpc, boto3 and aws-encryption-sdk, makes one KMS client, has it open the
keyring's root with one Decrypt, and connects one channel of mutual TLS to the same worker. Both
are started in turn; each start is a new process. Told are the time that a client waits and the time
of the processor: on a machine that others use too, the latter alone says something.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from strongroom.rpc import tls
from tests.support.deployment import CHAT, Deployment
from tests.support.lambda_sandbox import (
    LambdaFunction,
    Sandbox,
    api_gateway_event,
    environment_of,
)

_FLOOR: Final = Path(__file__).parent / "cold_start_floor.py"
_TIMES: Final = 15
_WARM: Final = 200
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAIRS: Final = ("function", "floor"), ("function processor", "floor processor")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold_start", description=__doc__)
    parser.add_argument("--packages", type=Path, default=Path("build/lambda"))
    parser.add_argument("--times", type=int, default=_TIMES)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sandbox = Sandbox(Path(folder)).unpack(
            given.packages / "function.zip", given.packages / "layer.zip"
        )
        (sandbox.task / "floor.py").write_bytes(_FLOOR.read_bytes())
        deployment = Deployment(Path(folder), ("--no-fork",)).start()
        try:
            measured = _measure(sandbox, deployment, given.times)
        finally:
            deployment.stop()
    _report(measured)
    return 0


def _measure(sandbox: Sandbox, deployment: Deployment, times: int) -> dict[str, list[float]]:
    environment = environment_of(deployment.facts["pids"]["rest"])
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
    open_ = {
        "root": keyring["root"],
        "address": worker["address"],
        "server_name": tls.worker_name(worker["worker_id"]),
    }
    both: dict[str, tuple[str, Mapping[str, Any]]] = {
        "floor": ("floor.handler", open_),
        "function": ("app.app", get),
    }
    measured: dict[str, list[float]] = defaultdict(list)
    for _ in range(times):
        for name, (handler, event) in both.items():
            took_ms, processor_ms = _start(sandbox, environment, event, handler)
            measured[name].append(took_ms)
            measured[f"{name} processor"].append(processor_ms)
    with LambdaFunction(sandbox, environment) as function:
        for _ in range(_WARM):
            began_s = time.perf_counter()
            function.invoke(get)
            measured["warm"].append((time.perf_counter() - began_s) * 1000)
    return measured


def _start(
    sandbox: Sandbox, environment: Mapping[str, str], event: Mapping[str, Any], handler: str
) -> tuple[float, float]:
    """Return the milliseconds from the start of a process to its answer, and of the processor."""
    with LambdaFunction(sandbox, environment, handler) as function:
        answer = function.invoke(event)
        took_ms = (time.monotonic() - function.started_s) * 1000
        fields = Path(f"/proc/{function.pid}/stat").read_text().rpartition(")")[2].split()
    if answer["statusCode"] != 200:  # noqa: PLR2004 - HTTP's
        raise RuntimeError(f"{handler}: {answer}")
    # User and system time, proc(5).
    return took_ms, (int(fields[11]) + int(fields[12])) / _TICKS * 1000


def _report(measured: Mapping[str, list[float]]) -> None:
    for name, values in measured.items():
        low, _, high = statistics.quantiles(values, n=4)
        middle = statistics.median(values)
        sys.stdout.write(f"{name:19}{middle:8.1f} ms  (quartiles {low:.1f} to {high:.1f})\n")
    for mine, floor in _PAIRS:
        ratios = [f / b for f, b in zip(measured[mine], measured[floor], strict=True)]
        sys.stdout.write(
            f"{mine} / {floor}, median of {len(ratios)} pairs: {statistics.median(ratios):.2f}"
            f" ({min(ratios):.2f} to {max(ratios):.2f})\n"
        )


if __name__ == "__main__":
    sys.exit(main())
