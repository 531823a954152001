"""Whether the spans of requests are exported, and where: what the environment says of it.

    STRONGROOM_OTLP_ENDPOINT   http://collector:4318: where a collector takes OTLP over HTTP; off
                               where there is none
    STRONGROOM_TRACE_RATIO     how much of what nobody has sampled yet is, 0 to 1; 0.01 without it

Headers, and certificates for `https://`, are told by OpenTelemetry's own variables
(`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_CERTIFICATE`). They do not turn anything on: what
is set for all processes of a machine must not make this one send to somebody.

OpenTelemetry is an extra (`strongroom[otel]`), imported only where an endpoint is named.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from strongroom.errors import InvalidArgumentError

if TYPE_CHECKING:
    from strongroom.otel import Exporting

ENDPOINT: Final = "STRONGROOM_OTLP_ENDPOINT"
RATIO: Final = "STRONGROOM_TRACE_RATIO"
_RATIO: Final = 0.01
_TRACES: Final = "/v1/traces"


@dataclass(frozen=True, slots=True)
class SpanSettings:
    """Where spans go.

    Attributes:
        url: The collector's, for traces.
        ratio: How much of what nobody has sampled yet is.
    """

    url: str
    ratio: float


def from_environment(environment: Mapping[str, str] = os.environ) -> SpanSettings | None:
    """Return what is set, None where nothing is exported.

    Raises:
        InvalidArgumentError: It is not of its form.
    """
    endpoint, ratio = environment.get(ENDPOINT, ""), _ratio(environment.get(RATIO, ""))
    if not endpoint:
        return None
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise InvalidArgumentError(f"{ENDPOINT} is a URL such as http://127.0.0.1:4318")
    return SpanSettings(endpoint.rstrip("/") + _TRACES, ratio)


def start(
    configured: SpanSettings | None, process: str, instance: str = "", *, begins_traces: bool = True
) -> "Exporting | None":
    """Begin to export the spans of a process, where settings say so; None where they do not.

    Args:
        configured: The settings.
        process: Its name, as in its logs.
        instance: Which one of several it is.
        begins_traces: Whether it samples what nobody has sampled yet; else it follows its callers.

    Raises:
        InvalidArgumentError: OpenTelemetry is not installed.
    """
    if configured is None:
        return None
    if not begins_traces:
        configured = replace(configured, ratio=0.0)
    try:
        from strongroom import otel  # noqa: PLC0415 - an extra, and heavy
    except ImportError as error:
        raise InvalidArgumentError(
            f"{ENDPOINT} needs OpenTelemetry: install strongroom[otel]"
        ) from error
    return otel.start(configured.url, configured.ratio, process, instance)


def _ratio(text: str) -> float:
    try:
        ratio = float(text) if text else _RATIO
    except ValueError as error:
        raise InvalidArgumentError(f"{RATIO} is a number") from error
    if math.isnan(ratio) or not 0 <= ratio <= 1:
        raise InvalidArgumentError(f"{RATIO} is 0 to 1")
    return ratio
