"""What a Main Worker is told by its environment, read once."""

import math
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from main_api.domain.audit.acts import Recording
from main_api.domain.audit.policy import AuditPolicy
from main_api.domain.buckets import Policy
from main_api.domain.http_policy import HttpPolicy, origins
from main_api.domain.rate_limits import QuotaPolicies, ThrottlePolicies
from main_api.domain.rotation import BYTES_PER_GIB, NEVER, SECONDS_PER_DAY, RotationPolicy
from strongroom import limits
from strongroom.crypto.seal import Suite, sealing
from strongroom.errors import InvalidArgumentError
from strongroom.identity import Identity

if TYPE_CHECKING:
    from strongroom.spans import SpanSettings

T = TypeVar("T")
_DECIMAL: Final = re.compile(r"[0-9]{0,12}\.?[0-9]{1,12}")


class ProviderKind(StrEnum):
    """Where the master key is, which wraps the keyring's root."""

    KMS = "kms"
    FILE = "file"
    KEYRING = "keyring"


@dataclass(frozen=True, slots=True)
class KeySettings:
    """What opens the keyring.

    Attributes:
        provider: Which of the following is the master key.
        kms_key_arn: A key of AWS KMS. Its endpoint is botocore's to find (AWS_ENDPOINT_URL_KMS).
        master_key_file: A file of 32 bytes and mode 0600, outside the shared directory.
        keyring_service: The name of the service under which the operating system's keyring has it.
        keyring_entry: The name of the entry.
        recovery_public_key_file: The public half of the offline recovery key; None for none.
    """

    provider: ProviderKind
    kms_key_arn: str = ""
    master_key_file: Path | None = None
    keyring_service: str = "strongroom"
    keyring_entry: str = "master-key"
    recovery_public_key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings that both faces need.

    Attributes:
        shared_dir: The shared directory (design.md section 3).
        keys: What opens the keyring.
        identity: The deployment's CA, the Main Worker's certificate and key.
        ca_key_file: The key of the deployment's CA, with which the gRPC face renews certificates;
            None where it does not.
        identity_secret_arn: A secret of AWS Secrets Manager, whose members `ca`, `certificate` and
            `key` the identity's files are made of; empty where the files are there.
        authority_secret_arn: One whose member `key` the file of the CA's key is made of.
        sealing: The weakest suite that workers are given keys with.
        key_provider_check_s: How long between two checks that the master key can still be used.
        throttling: How often authentication may fail.
        quotas: What a client may use, in each process.
        issuers_over_http_loopback: Whether a foreign issuer on this machine may be asked for its
            keys without TLS.
        audit: What is recorded beside administrative acts and denials.
    """

    shared_dir: Path
    keys: KeySettings
    identity: Identity
    sealing: Suite = Suite.X25519
    key_provider_check_s: float = limits.KEY_PROVIDER_CHECK_SECONDS
    throttling: ThrottlePolicies = field(default_factory=ThrottlePolicies.per_minute)
    quotas: QuotaPolicies = field(default_factory=QuotaPolicies)
    ca_key_file: Path | None = None
    identity_secret_arn: str = ""
    authority_secret_arn: str = ""
    issuers_over_http_loopback: bool = False
    audit: AuditPolicy = field(default_factory=AuditPolicy)


@dataclass(frozen=True, slots=True)
class RestSettings:
    """Settings of the REST face outside Lambda.

    Attributes:
        host: Where to listen.
        port: On which port; 0 picks a free one.
        certificate_file: PEM for HTTPS; None serves plain HTTP.
        key_file: Its key.
        ready_file: Written once the port is bound; empty for none.
        spans: Where spans are exported to, None for nowhere.
    """

    host: str
    port: int
    certificate_file: Path | None
    key_file: Path | None
    ready_file: str
    spans: "SpanSettings | None" = None


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """Settings of the gRPC face.

    Attributes:
        client_listen: host:port of the client API.
        subscription_listen: host:port of the subscription API.
        advertise_host: The host under which workers reach the subscription API.
        server_identity: The certificate that clients see.
        ready_file: Written once both ports are bound; empty for none.
        metrics_listen: Where metrics are served, an address of this machine; None for nowhere.
        spans: Where spans are exported to, None for nowhere.
        rotation: What a data key may serve for.
        signing_key_days: How long a key signs tokens.
        receive_wait_s: How long a client's call waits for its turn to be received.
        body_s: How long its message may take.
    """

    client_listen: str
    subscription_listen: str
    advertise_host: str
    server_identity: Identity
    ready_file: str
    metrics_listen: tuple[str, int] | None = None
    spans: "SpanSettings | None" = None
    rotation: RotationPolicy = NEVER
    signing_key_days: float = limits.SIGNING_KEY_DAYS
    receive_wait_s: float = limits.RECEIVE_WAIT_SECONDS
    body_s: float = limits.BODY_SECONDS


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings that `STRONGROOM_...` variables give.

    Raises:
        InvalidArgumentError: One is missing; the detail names it.
    """
    shared_dir = Path(_required(environment, "SHARED_DIR"))
    throttling = _throttling(environment)
    return Settings(
        shared_dir=shared_dir,
        keys=keys_from_environment(shared_dir, environment),
        identity=Identity(
            ca_file=Path(_required(environment, "CA_FILE")),
            certificate_file=Path(_required(environment, "CERTIFICATE_FILE")),
            key_file=Path(_required(environment, "KEY_FILE")),
        ),
        sealing=sealing(environment),
        key_provider_check_s=_number(
            environment,
            "KEY_PROVIDER_CHECK_SECONDS",
            limits.KEY_PROVIDER_CHECK_SECONDS,
            (1.0, 3600.0),
        ),
        throttling=throttling,
        quotas=QuotaPolicies(
            requests=_quota(environment, "REQUESTS", "requests", (1e-3, 1e6)),
            content_bytes=_quota(environment, "BYTES", "content-bytes", (1.0, 1e12)),
        ),
        ca_key_file=_outside(shared_dir, environment, "CA_KEY_FILE")
        if environment.get("STRONGROOM_CA_KEY_FILE")
        else None,
        identity_secret_arn=environment.get("STRONGROOM_IDENTITY_SECRET_ARN", ""),
        authority_secret_arn=environment.get("STRONGROOM_AUTHORITY_SECRET_ARN", ""),
        issuers_over_http_loopback=_is_yes(environment, "ISSUERS_OVER_HTTP_LOOPBACK", "no"),
        audit=AuditPolicy(
            reads=_recording(environment, "AUDIT_READS"),
            writes=_recording(environment, "AUDIT_WRITES"),
            trusted_proxies=throttling.trusted_proxies,
        ),
    )


def keys_from_environment(
    shared_dir: Path, environment: Mapping[str, str] = os.environ
) -> KeySettings:
    """Return what opens the keyring.

    Raises:
        InvalidArgumentError: There is no such provider, one of its variables is missing, or the
            master key would lie on the shared directory.
    """
    named = environment.get("STRONGROOM_KEY_PROVIDER") or ProviderKind.KMS
    if named not in set(ProviderKind):
        known = ", ".join(ProviderKind)
        raise InvalidArgumentError(f"STRONGROOM_KEY_PROVIDER is one of {known}, not {named!r}")
    provider = ProviderKind(named)
    is_kms, is_file = provider is ProviderKind.KMS, provider is ProviderKind.FILE
    defaults = KeySettings(provider)
    recovery = environment.get("STRONGROOM_RECOVERY_PUBLIC_KEY_FILE")
    return KeySettings(
        provider=provider,
        kms_key_arn=_required(environment, "KMS_KEY_ARN") if is_kms else "",
        master_key_file=_outside(shared_dir, environment, "MASTER_KEY_FILE") if is_file else None,
        keyring_service=environment.get("STRONGROOM_KEYRING_SERVICE") or defaults.keyring_service,
        keyring_entry=environment.get("STRONGROOM_KEYRING_ENTRY") or defaults.keyring_entry,
        recovery_public_key_file=Path(recovery) if recovery else None,
    )


def http_policy_from_environment(environment: Mapping[str, str] = os.environ) -> HttpPolicy:
    """Return what settings decide of HTTP; raises as `from_environment`."""
    compresses = _is_yes(environment, "COMPRESS", "yes")
    try:
        pages = origins(environment.get("STRONGROOM_CORS_ORIGINS", ""))
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"STRONGROOM_CORS_ORIGINS: {error.detail}") from error
    return HttpPolicy(pages, compress=compresses)


def rest_from_environment(environment: Mapping[str, str] = os.environ) -> RestSettings:
    """Return the REST face's settings; raises as `from_environment`."""
    host, port = _address(environment, "HTTP_LISTEN", "127.0.0.1:8080")
    host = host.strip("[]")  # of an IPv6 address; gRPC wants them, sockets do not
    certificate = environment.get("STRONGROOM_SERVER_CERTIFICATE_FILE")
    return RestSettings(
        host=host,
        port=port,
        certificate_file=Path(certificate) if certificate else None,
        key_file=Path(_required(environment, "SERVER_KEY_FILE")) if certificate else None,
        ready_file=environment.get("STRONGROOM_READY_FILE", ""),
        spans=spans_from_environment(environment),
    )


def rpc_from_environment(environment: Mapping[str, str] = os.environ) -> RpcSettings:
    """Return the gRPC face's settings; raises as `from_environment`."""
    # Imported where it is needed: a Lambda has no listener, and would pay for it at each start.
    from strongroom.metrics import listener  # noqa: PLC0415

    client = _address(environment, "GRPC_LISTEN", "127.0.0.1:50051")
    subscription = _address(environment, "SUBSCRIPTION_LISTEN", "127.0.0.1:50052")
    return RpcSettings(
        client_listen="{}:{}".format(*client),
        subscription_listen="{}:{}".format(*subscription),
        advertise_host=environment.get("STRONGROOM_ADVERTISE_HOST") or _reached_at(subscription[0]),
        server_identity=Identity(
            ca_file=Path(_required(environment, "CA_FILE")),
            certificate_file=Path(_required(environment, "SERVER_CERTIFICATE_FILE")),
            key_file=Path(_required(environment, "SERVER_KEY_FILE")),
        ),
        ready_file=environment.get("STRONGROOM_READY_FILE", ""),
        metrics_listen=listener.from_environment(environment),
        spans=spans_from_environment(environment),
        rotation=_rotation(environment),
        signing_key_days=_number(
            environment,
            "ROTATE_SIGNING_KEY_AFTER_DAYS",
            limits.SIGNING_KEY_DAYS,
            (1.0, 36_500),
        ),
    )


def spans_from_environment(
    environment: Mapping[str, str] = os.environ,
) -> "SpanSettings | None":
    """Return where a face exports spans to; raises as `from_environment`."""
    # Imported where it is needed: a Lambda exports none, and pays for every import.
    from strongroom import spans  # noqa: PLC0415

    return spans.from_environment(environment)


def _reached_at(listen_host: str) -> str:
    """Return the host under which others reach who listens there."""
    return socket.gethostname() if listen_host in {"0.0.0.0", "[::]"} else listen_host  # noqa: S104


def _rotation(environment: Mapping[str, str]) -> RotationPolicy:
    days = _number(environment, "ROTATE_AFTER_DAYS", None, (1e-4, 36_500))
    gib = _number(environment, "ROTATE_AFTER_GIB", None, (1e-6, 1e6))
    return RotationPolicy(
        after_s=None if days is None else days * SECONDS_PER_DAY,
        after_bytes=None if gib is None else round(gib * BYTES_PER_GIB),
    )


def _throttling(environment: Mapping[str, str]) -> ThrottlePolicies:
    most = (1, limits.FAILED_AUTHENTICATIONS_SETTABLE_MAX)
    return ThrottlePolicies.per_minute(
        per_client=_whole_number(
            environment,
            "FAILED_AUTHENTICATIONS_PER_MINUTE",
            limits.FAILED_AUTHENTICATIONS_PER_MINUTE,
            most,
        ),
        per_address=_whole_number(
            environment,
            "FAILED_AUTHENTICATIONS_PER_ADDRESS_PER_MINUTE",
            limits.FAILED_AUTHENTICATIONS_PER_ADDRESS_PER_MINUTE,
            most,
        ),
        trusted_proxies=_whole_number(
            environment, "TRUSTED_PROXIES", 0, (0, limits.TRUSTED_PROXIES_MAX)
        ),
    )


def _recording(environment: Mapping[str, str], name: str) -> Recording:
    text = environment.get(f"STRONGROOM_{name}") or Recording.OFF
    if text not in set(Recording):
        known = ", ".join(Recording)
        raise InvalidArgumentError(f"STRONGROOM_{name} is one of {known}, not {text!r}")
    return Recording(text)


def _quota(
    environment: Mapping[str, str], name: str, unit: str, between: tuple[float, float]
) -> Policy | None:
    """Return the policy of `RATE_<name>_PER_SECOND`; without a burst it has a second's worth."""
    per_second = _number(environment, f"RATE_{name}_PER_SECOND", None, between)
    burst_name = f"RATE_{name}_BURST"
    if per_second is None:
        if environment.get(f"STRONGROOM_{burst_name}"):
            raise InvalidArgumentError(
                f"STRONGROOM_{burst_name} means nothing without STRONGROOM_RATE_{name}_PER_SECOND"
            )
        return None
    second = max(1, math.ceil(per_second))
    burst = _whole_number(environment, burst_name, second, (1, round(between[1])))
    return Policy(name.lower(), per_second, burst, unit)


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(f"STRONGROOM_{name}", "")
    if not value:
        raise InvalidArgumentError(f"set STRONGROOM_{name}")
    return value


def _is_yes(environment: Mapping[str, str], name: str, default: str) -> bool:
    """Return what a switch says, the default where the variable is unset or empty."""
    text = environment.get(f"STRONGROOM_{name}", "") or default
    if text not in {"yes", "no"}:
        raise InvalidArgumentError(f"STRONGROOM_{name} is yes or no, not {text!r}")
    return text == "yes"


def _number(
    environment: Mapping[str, str], name: str, default: T, between: tuple[float, float]
) -> float | T:
    """Return a decimal number within bounds, the default where the variable is unset or empty."""
    text = environment.get(f"STRONGROOM_{name}", "")
    if not text:
        return default
    least, most = between
    value = float(text) if _DECIMAL.fullmatch(text) else math.nan
    if not least <= value <= most:
        raise InvalidArgumentError(f"STRONGROOM_{name} is a number from {least:g} to {most:g}")
    return value


def _whole_number(
    environment: Mapping[str, str], name: str, default: int, between: tuple[int, int]
) -> int:
    """Return a whole number within bounds, the default where the variable is unset or empty."""
    value = _number(environment, name, default, between)
    if value != round(value):
        raise InvalidArgumentError(f"STRONGROOM_{name} is a whole number")
    return round(value)


def _outside(shared_dir: Path, environment: Mapping[str, str], name: str) -> Path:
    path = Path(_required(environment, name))
    if shared_dir.resolve() in path.resolve().parents:
        raise InvalidArgumentError(
            f"STRONGROOM_{name} lies below {shared_dir}: whoever copies that directory"
            " would have key and data; choose another place"
        )
    return path


def _address(environment: Mapping[str, str], name: str, default: str) -> tuple[str, int]:
    host, _, port = (environment.get(f"STRONGROOM_{name}") or default).rpartition(":")
    if not host or not port.isdecimal():
        raise InvalidArgumentError(f"STRONGROOM_{name} is host:port")
    return host, int(port)
