"""Whom a certificate names."""

import pytest

from strongroom import certificates
from strongroom.certificates import Authority
from strongroom.errors import UnauthenticatedError
from strongroom.rpc import tls

NOW_MS, DAY_MS = 1_800_000_000_000, 86_400_000
NAMES = "x509_subject_alternative_name"


def context(*names: str) -> dict[str, object]:
    """Return an authentication context as grpc makes it."""
    return {NAMES: [name.encode() for name in names], "transport_security_type": [b"ssl"]}


def test_a_workers_certificate_names_it() -> None:
    """A worker is taken for another one and gets its place in the registry."""
    assert tls.worker_of(context("worker-1.worker.strongroom.internal")) == "worker-1"
    assert tls.worker_name("worker-1") == "worker-1.worker.strongroom.internal"


@pytest.mark.parametrize(
    "auth_context",
    [
        {},
        {NAMES: None},
        {NAMES: []},
        {NAMES: "worker-1.worker.strongroom.internal"},
        context("main.strongroom.internal"),
        context("localhost", "127.0.0.1"),
        context("worker-1.worker.strongroom.internal.example.com"),
        context("worker.strongroom.internal"),
        context("a.worker.strongroom.internal", "b.worker.strongroom.internal"),
        {"x509_common_name": [b"worker-1.worker.strongroom.internal"]},
    ],
)
def test_no_other_certificate_is_a_workers(auth_context: dict[str, object]) -> None:
    """Somebody without a worker's certificate gets the data key."""
    with pytest.raises(UnauthenticatedError):
        tls.worker_of(auth_context)


@pytest.mark.parametrize(
    ("names", "ended", "may"),
    [
        (("main.strongroom.internal",), False, True),
        (("main.strongroom.internal", "127.0.0.1"), False, True),
        (("main.strongroom.internal",), True, False),
        ((), False, False),
        (("worker-1.worker.strongroom.internal",), False, False),
        (("xmain.strongroom.internal",), False, False),
        (("main.strongroom.internal.example.com",), False, False),
    ],
)
def test_only_a_main_worker_may_ask_a_worker(
    *, names: tuple[str, ...], ended: bool, may: bool
) -> None:
    """A worker, or anybody, or who has been a Main Worker once, reads entities past all grants."""
    presented: dict[str, object] = {"x509_pem_cert": [_certificate(names)]}
    now_ms = NOW_MS + (DAY_MS if ended else 0)
    if may:
        tls.require_main(presented, now_ms)
        return
    with pytest.raises(UnauthenticatedError):
        tls.require_main(presented, now_ms)


@pytest.mark.parametrize(
    "auth_context",
    [{}, {"x509_pem_cert": None}, {"x509_pem_cert": [b"nonsense"]}, context(tls.MAIN_NAME)],
)
def test_who_shows_no_certificate_may_not(auth_context: dict[str, object]) -> None:
    """A name that nobody has proven opens every database."""
    with pytest.raises(UnauthenticatedError):
        tls.require_main(auth_context, NOW_MS)


def _certificate(names: tuple[str, ...]) -> bytes:
    authority, key = Authority.make(NOW_MS, DAY_MS), certificates.new_key()
    return authority.issue(key.public_key(), "somebody", names, NOW_MS, DAY_MS)
