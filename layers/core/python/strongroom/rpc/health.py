"""Readiness over grpc.health.v1: each check is a service by the name `readiness.<check>`.

A check that has failed, or only warns, is NOT_SERVING. This protocol knows no reasons: they stand
in the log of the process, and in `/readyz?verbose` where it serves that.
"""

from collections.abc import Iterable
from typing import Final

from grpc_health.v1 import health_pb2

from strongroom.readiness import Finding, Status, is_ready

SERVING: Final = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
READINESS: Final = "readiness"
"""The name of all of it: NOT_SERVING where no request can be served."""


def status(*, serves: bool) -> int:
    """Return what the protocol calls it."""
    return SERVING if serves else NOT_SERVING


def statuses(findings: Iterable[Finding]) -> dict[str, int]:
    """Return the status of each check, by the name of its service, and that of all."""
    told = tuple(findings)
    by_check = {f"{READINESS}.{f.name}": status(serves=f.status is Status.OK) for f in told}
    return {READINESS: status(serves=is_ready(told)), **by_check}
