"""Whom a certificate names."""

import pytest

from strongroom.errors import UnauthenticatedError
from strongroom.rpc import tls

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


def test_only_a_main_worker_may_ask_a_worker() -> None:
    """A worker, or anybody, reads entities past all grants."""
    tls.require_main(context("main.strongroom.internal"))
    for names in [(), ("worker-1.worker.strongroom.internal",), ("xmain.strongroom.internal",)]:
        with pytest.raises(UnauthenticatedError):
            tls.require_main(context(*names))
