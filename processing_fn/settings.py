"""What a Processing Worker is told by its environment, read once."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from processing_fn.domain import coherence
from strongroom import ids, limits, spans
from strongroom.crypto.seal import Suite, sealing
from strongroom.errors import InvalidArgumentError
from strongroom.identity import Identity
from strongroom.metrics import listener
from strongroom.spans import SpanSettings


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a Processing Worker.

    Attributes:
        worker_id: Its id; the certificate has to name it.
        shared_dir: The shared directory (design.md section 3).
        main_address: host:port of the Main Worker's subscription API.
        identity: The deployment's CA, the worker's certificate and key.
        listen_host: Where to listen.
        listen_port: On which port; 0 picks a free one.
        advertise_host: The host under which Main Workers reach this worker.
        cache_bytes: Bound of the cache.
        cache_ttl_s: How long a document stays in it.
        coherence_bound_s: How old what is answered out of it may be; 0 for never old.
        sealing: How it has its keys sealed.
        ready_file: Written once the worker is registered; empty for none.
        metrics_listen: Where metrics are served, an address of this machine; None for nowhere.
        enrolment: JSON: what the worker has its first certificate issued with; empty for nothing.
        spans: Where spans are exported to, None for nowhere.
    """

    worker_id: str
    shared_dir: Path
    main_address: str
    identity: Identity
    listen_host: str
    listen_port: int
    advertise_host: str
    cache_bytes: int
    cache_ttl_s: float
    coherence_bound_s: float
    sealing: Suite
    ready_file: str
    metrics_listen: tuple[str, int] | None = None
    enrolment: str = field(default="", repr=False)
    spans: SpanSettings | None = None


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings that `STRONGROOM_...` variables give.

    Raises:
        InvalidArgumentError: One is missing or not of its form; the detail names it.
    """

    def required(name: str) -> str:
        value = environment.get(f"STRONGROOM_{name}", "")
        if not value:
            raise InvalidArgumentError(f"set STRONGROOM_{name}")
        return value

    def number(name: str, default: float, most: float) -> float:
        text = environment.get(f"STRONGROOM_{name}", "")
        try:
            value = float(text) if text else default
        except ValueError:
            value = math.nan
        if not 0 <= value <= most:
            raise InvalidArgumentError(f"STRONGROOM_{name} is a number from 0 to {most}")
        return value

    listen_host = environment.get("STRONGROOM_LISTEN_HOST") or "127.0.0.1"
    return Settings(
        worker_id=ids.worker_id(required("WORKER_ID")),
        shared_dir=Path(required("SHARED_DIR")),
        main_address=required("MAIN_ADDRESS"),
        identity=Identity(
            ca_file=Path(required("CA_FILE")),
            certificate_file=Path(required("CERTIFICATE_FILE")),
            key_file=Path(required("KEY_FILE")),
        ),
        listen_host=listen_host,
        listen_port=int(number("LISTEN_PORT", 0, 65_535)),
        advertise_host=environment.get("STRONGROOM_ADVERTISE_HOST") or listen_host,
        cache_bytes=int(number("CACHE_BYTES", limits.CACHE_BYTES, limits.CACHE_BYTES_TOLD_MAX)),
        cache_ttl_s=number(
            "CACHE_TTL_SECONDS", limits.CACHE_TTL_SECONDS, limits.CACHE_TTL_SECONDS_MAX
        ),
        coherence_bound_s=coherence.bound_s(environment.get("STRONGROOM_COHERENCE", "")),
        sealing=sealing(environment),
        ready_file=environment.get("STRONGROOM_READY_FILE", ""),
        metrics_listen=listener.from_environment(environment),
        enrolment=environment.get("STRONGROOM_ENROLMENT", ""),
        spans=spans.from_environment(environment),
    )
