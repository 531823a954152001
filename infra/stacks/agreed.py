"""What templates and the processes that run by them agree on."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from strongroom.metrics import catalogue
from strongroom.metrics.catalogue import Metric

ROOT_PURPOSE: Final = "strongroom-keyring-root"
"""The encryption context's `purpose` (main_api/adapters/keys/root_message.py)."""

UID: Final = "10001"
"""The user of both images (main_api/Dockerfile, processing_fn/Dockerfile)."""

MOUNT: Final = "/mnt/strongroom"
"""Where every process has the shared directory."""

LOGGED: Final = {
    "key-provider-unavailable": "KMS does not open the keyring: processes that start now cannot",
    "keyring-unreadable": "The keyring cannot be read, or was changed",
    "audit-unavailable": "The audit log cannot be written: administrative acts are refused",
    "start-failed": "The Lambda cannot start",
    "certificate-ends-soon": "A Main Worker's certificate is not renewed",
    "certificate-not-renewed": "A Processing Worker's certificate is not renewed",
    "request-failed": "A request met a defect",
    "rotation-failed": "Keys are not rotated",
}
"""Events of our logs, any one of which is an alarm."""


class Own(NamedTuple):
    """A figure that the Lambda itself tells CloudWatch (strongroom/metrics/embedded.py)."""

    metric: Metric
    statistic: str
    labels: Mapping[str, str] = {}


OWN: Final[Mapping[str, Own]] = {
    "own latency": Own(catalogue.HTTP_SECONDS, "p99"),
    "answers of 5xx": Own(catalogue.HTTP_SECONDS, "SampleCount", {"status": "5xx"}),
    "workers lost": Own(catalogue.CIRCUIT_OPENINGS, "Sum"),
    "rate limited": Own(catalogue.RATE_LIMITED, "Sum"),
    "failed authentications": Own(catalogue.FAILED_AUTHENTICATIONS, "Sum"),
    "fsync": Own(catalogue.FSYNC_SECONDS, "p99"),
}
