"""What a deployment relies on outside its shared directory: clock, files, certificates, ports."""

import errno
import resource
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from cli.doctor.findings import Finding, failure, ok, skipped, warning
from strongroom import certificates, limits
from strongroom.clock import Clock, rfc3339
from strongroom.errors import InvalidArgumentError
from strongroom.identity import Identity

_READINGS: Final = 1_000
_OPEN_FILES: Final = 4_096
_OPEN_FILES_LEAST: Final = 1_024
_CONNECT_S: Final = 2.0
_OF_CERTIFICATES: Final = "issue a new one: `strongroom worker enrol NAME --renew`"
_LISTENING: Final = {
    "STRONGROOM_HTTP_LISTEN": "127.0.0.1:8080",
    "STRONGROOM_GRPC_LISTEN": "127.0.0.1:50051",
    "STRONGROOM_SUBSCRIPTION_LISTEN": "127.0.0.1:50052",
}
_NTP: Final = "have the clock set by NTP (chrony, systemd-timesyncd)"


def clock(source: Clock) -> Iterator[Finding]:
    """Tell whether time runs one way only, and both clocks by the same measure."""
    before_ms, before_s = source.wall_ms(), source.boot_s()
    readings = [source.boot_s() for _ in range(_READINGS)]
    wall_ms = source.wall_ms() - before_ms
    boot_ms = (readings[-1] - before_s) * 1000
    if sorted(readings) != readings:
        yield failure("clock", "the time since the start of the machine runs backwards", _NTP)
    elif abs(wall_ms - boot_ms) > limits.CLOCK_SKEW_MS_MAX:
        yield failure("clock", f"it is being set: by {wall_ms - boot_ms:+.0f} ms just now", _NTP)
    else:
        yield ok("clock", f"runs steadily; it is {rfc3339(source.wall_ms())}")


def open_files() -> Iterator[Finding]:
    """Judge how many files a process may open."""
    yield open_files_judged(*resource.getrlimit(resource.RLIMIT_NOFILE))


def open_files_judged(soft: int, hard: int) -> Finding:
    """Judge the limits that processes inherit; -1 is none."""
    most = hard if hard != resource.RLIM_INFINITY else _OPEN_FILES
    told = f"{soft:,} open files, up to {hard:,}"
    advice = f"allow {_OPEN_FILES:,}: `ulimit -n`, LimitNOFILE= of systemd, `ulimits` of a task"
    if most < _OPEN_FILES_LEAST:
        return failure("open files", told, advice)
    if most < _OPEN_FILES:
        return warning("open files", told, advice)
    return ok("open files", told)


def identities(environment: Mapping[str, str], root: Path) -> list[Identity]:
    """Return the files of certificates: those that variables name, else those of `strongroom up`.

    Args:
        environment: The variables.
        root: What `strongroom up` was given as --root.
    """
    names = ("CA_FILE", "CERTIFICATE_FILE", "KEY_FILE")
    ca, certificate, key = (environment.get(f"STRONGROOM_{name}", "") for name in names)
    server = [environment.get(f"STRONGROOM_SERVER_{name}", "") for name in names[1:]]
    pairs = [pair for pair in ((certificate, key), tuple(server)) if all(pair)]
    if ca and pairs:
        return [Identity(Path(ca), Path(one), Path(its)) for one, its in pairs]
    pki = root / "pki"
    return [
        Identity(pki / "ca.pem", path, path.with_suffix(".key"))
        for path in sorted(pki.glob("*.pem"))
        if path.name != "ca.pem"
    ]


def certificates_of(found: list[Identity], now_ms: int) -> Iterator[Finding]:
    """Tell of each certificate how long it is valid, and whether its files belong together."""
    if not found:
        yield skipped(
            "certificates",
            "none is named",
            "set STRONGROOM_CA_FILE, STRONGROOM_CERTIFICATE_FILE and STRONGROOM_KEY_FILE",
        )
    for ca_file in sorted({one.ca_file for one in found}):
        yield _judged(ca_file, certificates.parse(_read(ca_file)), now_ms)
    for one in found:
        certificate = _read(one.certificate_file)
        try:
            said = certificates.require_pair(certificate, _read(one.key_file))
            certificates.require_issued(certificate, _read(one.ca_file))
        except (InvalidArgumentError, OSError) as error:
            reason = error.detail if isinstance(error, InvalidArgumentError) else str(error)
            yield failure("certificates", f"{one.certificate_file}: {reason}", _OF_CERTIFICATES)
        else:
            yield _judged(one.certificate_file, said, now_ms)


def _judged(path: Path, said: certificates.Certificate, now_ms: int) -> Finding:
    if said.has_ended(now_ms):
        return failure("certificates", f"{path} has ended at {said.until}", _OF_CERTIFICATES)
    if now_ms < said.begins_ms:
        told = f"{path} begins at {rfc3339(said.begins_ms)}"
        return failure("certificates", told, f"wait until then, or {_NTP}")
    if said.is_due(now_ms):
        return warning("certificates", f"{path} ends at {said.until}", _OF_CERTIFICATES)
    return ok("certificates", f"{path} is valid until {said.until}")


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(limits.CERTIFICATE_FILE_BYTES_MAX)


def ports(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Tell of each address to listen at whether it is free, or somebody answers there."""
    for variable, default in _LISTENING.items():
        text = environment.get(variable) or default
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65_535:  # noqa: PLR2004 - TCP's
            yield failure("ports", f"{variable}: {text} is not HOST:PORT", "correct it")
        else:
            yield port_judged(host.strip("[]"), int(port), variable)


def port_judged(host: str, port: int, variable: str) -> Finding:
    """Judge one address; `variable` is what sets it."""
    told, advice = f"{host}:{port}", f"choose another one by {variable}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return failure("ports", f"{told}: {error.strerror or error}", advice)
    else:
        return ok("ports", f"{told} is free")
    try:
        with socket.create_connection((host, port), _CONNECT_S):
            return ok("ports", f"{told} is in use, and somebody answers")
    except OSError as error:
        reason = error.strerror or error
        return failure("ports", f"{told} is taken, and nobody answers: {reason}", advice)
