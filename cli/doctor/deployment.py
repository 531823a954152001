"""What a running deployment says of itself, and whether its keyring opens from here."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import msgspec

from cli.doctor.findings import Finding, failure, ok, skipped, warning
from cli.plain_http import PlainHttp
from strongroom import jsontext, limits
from strongroom.clock import Clock
from strongroom.durable import LocalFilesystem
from strongroom.layout import Layout

_SECOND_MS: Final = 1_000
_NAME: Final = "a deployment's"


class _Part(msgspec.Struct):
    status: str
    reason: str = ""


class _Ready(msgspec.Struct):
    workers: int
    key_provider: _Part
    audit: _Part


class _Problem(msgspec.Struct):
    detail: str


def asked(environment: Mapping[str, str], clock: Clock) -> Iterator[Finding]:
    """Ask the deployment that STRONGROOM_URL names for its state and for the time.

    Raises:
        UnavailableError: It does not answer.
        InvalidArgumentError: That is no address.
    """
    url = environment.get("STRONGROOM_URL", "")
    if not url.startswith("http"):
        yield skipped("deployment", "STRONGROOM_URL names none over http", "set it to ask one")
        return
    began_ms = clock.wall_ms()
    with closing(PlainHttp(url, environment.get("STRONGROOM_CA_FILE") or None)) as http:
        answer = http.send("GET", "/readyz")
    ended_ms = clock.wall_ms()
    yield clocks_judged(answer.headers.get("date", ""), began_ms, ended_ms)
    yield from _state(url, answer.status, answer.body)


def clocks_judged(date: str, began_ms: int, ended_ms: int) -> Finding:
    """Compare the clocks by the `Date` of an answer (RFC 9110 section 6.6.1), cut to seconds.

    Args:
        date: The header.
        began_ms: When the request was sent, by this machine's clock.
        ended_ms: When the answer was there.
    """
    try:
        told: datetime = parsedate_to_datetime(date)
    except ValueError:
        return skipped("clock of the deployment", "its answers have no date")
    theirs_ms = round(told.timestamp() * 1000)
    apart_ms = max(began_ms - theirs_ms - _SECOND_MS, theirs_ms - ended_ms, 0)
    said = f"at least {apart_ms} ms apart from this machine's"
    if apart_ms > limits.CLOCK_SKEW_MS_MAX:
        return failure("clock of the deployment", said, "have both clocks set by NTP")
    return ok("clock of the deployment", "the same as this machine's, as far as a date tells")


def _state(url: str, status: int, body: bytes) -> Iterator[Finding]:
    if status != 200:  # noqa: PLR2004 - OK
        try:
            reason = msgspec.json.decode(body, type=_Problem).detail
        except jsontext.UNREADABLE:
            reason = "not an answer of Strongroom's"
        yield failure("deployment", f"{url} answers {status}: {reason}", "see its logs")
        return
    try:
        ready = msgspec.json.decode(body, type=_Ready)
    except jsontext.UNREADABLE:
        yield failure("deployment", f"{url}: not an answer of Strongroom's", "see STRONGROOM_URL")
        return
    yield ok("deployment", f"{url} is ready, with {ready.workers} workers")
    for name, part in (("key provider", ready.key_provider), ("audit log", ready.audit)):
        if part.status == "ok":
            yield ok(f"{_NAME} {name}", "answers")
        else:
            advice = "restore it: without it no Main Worker starts, nor a record is written"
            yield warning(f"{_NAME} {name}", f"{part.status}: {part.reason}", advice)


def key_provider(
    environment: Mapping[str, str], shared_dir: Path, clock: Clock
) -> Iterator[Finding]:
    """Have the key provider open the keyring, as a Main Worker that starts does.

    Raises:
        UnavailableError: It does not answer, or refuses.
        IntegrityError: The keyring is of another master key, or was changed.
        InvalidArgumentError: The variables are no settings.
    """
    named = _settings(environment, shared_dir)
    if named is None:
        advice = "set STRONGROOM_KEY_PROVIDER and what belongs to it, as a Main Worker has them"
        yield skipped("key provider", "the environment names none", advice)
    elif not Layout(shared_dir).keyring().exists():
        yield skipped("key provider", "there is no keyring yet that it could open")
    else:
        # KMS' library takes half a second to import.
        from main_api.adapters.control_store import KeyringFile  # noqa: PLC0415
        from main_api.adapters.keys import providers  # noqa: PLC0415
        from main_api.service.keys.live_keyring import LiveKeyring  # noqa: PLC0415
        from main_api.settings import keys_from_environment  # noqa: PLC0415

        provider = providers.provider(keys_from_environment(shared_dir, named), None)
        began_s = clock.boot_s()
        LiveKeyring(KeyringFile(LocalFilesystem(), Layout(shared_dir), clock), provider)
        took_ms = (clock.boot_s() - began_s) * 1000
        yield ok("key provider", f"{provider.name} opens the keyring, in {took_ms:.0f} ms")


def _settings(environment: Mapping[str, str], shared_dir: Path) -> Mapping[str, str] | None:
    """Return variables that name a key provider; None where there are none.

    `strongroom up --key-provider file` has its master key where nobody has to name it. Its emulated
    KMS lives no longer than it does.
    """
    names = ("STRONGROOM_KEY_PROVIDER", "STRONGROOM_KMS_KEY_ARN")
    if any(environment.get(name) for name in names):
        return environment
    file = shared_dir.parent / "kms" / "master.key"
    if file.is_file():
        return {"STRONGROOM_KEY_PROVIDER": "file", "STRONGROOM_MASTER_KEY_FILE": str(file)}
    return None
