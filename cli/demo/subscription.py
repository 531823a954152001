"""Step 1: how a worker comes by its keys, and who gets none."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography import x509
from cryptography.x509.oid import NameOID

from cli.demo.stage import FIRST_WORKER, SECOND_WORKER, Stage, subscribe
from cli.demo.step import Step
from cli.emulation.pki import CertificateAuthority
from main_api.domain.registry import WorkerRecord
from processing_fn.service.ports import Subscription
from strongroom import tokens
from strongroom.clock import SystemClock
from strongroom.errors import StrongroomError, UnauthenticatedError, UnavailableError
from strongroom.identity import Identity
from strongroom.keyring import WORKER_PURPOSES
from strongroom.rpc import tls

_MEANING: Final = (
    "A Processing Worker proves who it is by its certificate, under mutual TLS, and sends a fresh"
    " public key. It gets a short-lived token, its keys sealed to that public key (HPKE), and a"
    " lease. It keeps keys in memory only. A certificate is good for its own worker's name."
)
_KEY_BYTES: Final = 32


def show(stage: Stage) -> Step:
    """Subscribe in worker-1's name with its certificate, then with others; look at the registry."""
    before = stage.workers()
    identity = stage.deployment.identity(FIRST_WORKER)
    subscription = subscribe(FIRST_WORKER, stage.deployment.subscription_address, identity)
    refused = [_attempt(stage, *stranger) for stranger in _strangers(stage)]
    after = stage.workers_now()
    observed: dict[str, Any] = {
        "certificate": _certificate(identity.certificate_file),
        "token": _token(subscription.token),
        "keys": _keys(subscription),
        "lease_seconds": subscription.lease_s,
        "others_who_ask": refused,
        "registry": [_listed(record) for record in after.values()],
    }
    expected = {
        **_expected_vending(observed["token"], subscription),
        **_expected_refusals([row["answer"] for row in refused]),
        "both workers are listed, and asking for keys has changed neither's subscription": (
            set(after) == {FIRST_WORKER, SECOND_WORKER}
            and _subscriptions(before) == _subscriptions(after)
        ),
    }
    return Step("subscription", "Subscription: who gets keys", _MEANING, observed, expected)


def _expected_vending(token: Mapping[str, Any], subscription: Subscription) -> dict[str, bool]:
    purposes = sorted(key.purpose for key in subscription.keys)
    return {
        "the token names worker-1, and is of use to workers only": (
            token["subject"] == FIRST_WORKER and token["audience"] == tokens.WORKER_AUDIENCE
        ),
        "one key came for each purpose of a worker, and none for another purpose": (
            purposes == sorted(WORKER_PURPOSES)
        ),
        "every key opened with the fresh private key, to 32 bytes": (
            {len(key.material) for key in subscription.keys} == {_KEY_BYTES}
        ),
    }


def _expected_refusals(answers: list[str]) -> dict[str, bool]:
    other_name, main_worker, other_authority = answers
    return {
        "worker-1's certificate in worker-2's name: unauthenticated": (
            other_name == UnauthenticatedError.code
        ),
        "the Main Worker's own certificate: unauthenticated": (
            main_worker == UnauthenticatedError.code
        ),
        "a certificate of another authority: no connection": (
            other_authority == UnavailableError.code
        ),
    }


def _certificate(file: Path) -> dict[str, Any]:
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {
        "subject": _common_name(certificate.subject),
        "dns_names": names.get_values_for_type(x509.DNSName),
        "issuer": _common_name(certificate.issuer),
        "valid_until": certificate.not_valid_after_utc.isoformat(),
    }


def _common_name(name: x509.Name) -> str:
    return str(name.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _token(token: str) -> dict[str, Any]:
    """Return what a token says; that it verifies is the Main Worker's business."""
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(token, options={"verify_signature": False})
    return {
        "type": header["typ"],
        "algorithm": header["alg"],
        "characters": len(token),
        "subject": claims["sub"],
        "audience": claims["aud"],
        "lifetime_seconds": claims["exp"] - claims["iat"],
    }


def _keys(subscription: Subscription) -> list[dict[str, Any]]:
    return [
        {
            "purpose": key.purpose.value,
            "key_id": key.key_id,
            "state": key.state.value,
            "bytes": len(key.material),
        }
        for key in subscription.keys
    ]


def _strangers(stage: Stage) -> list[tuple[str, Identity, str]]:
    """Return (whose certificate, the certificate, in whose name) of those who should get none."""
    deployment = stage.deployment
    other = CertificateAuthority(stage.root / "stranger", SystemClock())
    forged = other.issue(FIRST_WORKER, [tls.worker_name(FIRST_WORKER)])
    return [
        (FIRST_WORKER, deployment.identity(FIRST_WORKER), SECOND_WORKER),
        ("the Main Worker", deployment.identity("main"), FIRST_WORKER),
        (
            f"{FIRST_WORKER}, of another authority",
            Identity(deployment.ca_file, forged.certificate_file, forged.key_file),
            FIRST_WORKER,
        ),
    ]


def _attempt(stage: Stage, holder: str, identity: Identity, worker_id: str) -> dict[str, Any]:
    answer, detail = "keys", ""
    try:
        subscribe(worker_id, stage.deployment.subscription_address, identity)
    except StrongroomError as error:
        answer, detail = error.code, error.detail
    return {
        "certificate_of": holder,
        "in_the_name_of": worker_id,
        "answer": answer,
        "detail": detail,
    }


def _listed(record: WorkerRecord) -> dict[str, Any]:
    left_ms = record.lease_until_ms - SystemClock().wall_ms()
    return {
        "worker": record.worker_id,
        "address": record.address,
        "lease_seconds_left": round(left_ms / 1000, 1),
        "registered_at": record.registered_at,
    }


def _subscriptions(workers: dict[str, WorkerRecord]) -> dict[str, str]:
    return {worker_id: record.subscription_id for worker_id, record in workers.items()}
