"""What a Main Worker is told by its environment."""

from pathlib import Path

import pytest

from main_api import settings
from main_api.domain.buckets import Policy
from main_api.domain.http_policy import HttpPolicy
from main_api.domain.rate_limits import QuotaPolicies, ThrottlePolicies
from main_api.settings import ProviderKind
from strongroom.crypto.seal import Suite
from strongroom.errors import InvalidArgumentError

COMPLETE = {
    "STRONGROOM_SHARED_DIR": "/srv/strongroom",
    "STRONGROOM_KMS_KEY_ARN": "arn:aws:kms:eu-central-1:123456789012:key/k",
    "STRONGROOM_CA_FILE": "/pki/ca.pem",
    "STRONGROOM_CERTIFICATE_FILE": "/pki/main.pem",
    "STRONGROOM_KEY_FILE": "/pki/main.key",
}
RPC = COMPLETE | {
    "STRONGROOM_SERVER_CERTIFICATE_FILE": "/pki/server.pem",
    "STRONGROOM_SERVER_KEY_FILE": "/pki/server.key",
}


def test_settings_are_read() -> None:
    """A Main Worker takes another directory or key than it was told to."""
    found = settings.from_environment(COMPLETE)
    assert found.shared_dir == Path("/srv/strongroom")
    assert found.keys.kms_key_arn == COMPLETE["STRONGROOM_KMS_KEY_ARN"]
    assert found.identity.ca_file == Path("/pki/ca.pem")
    assert found.identity.certificate_file == Path("/pki/main.pem")
    assert found.identity.key_file == Path("/pki/main.key")


def test_what_is_decided_of_http_is_read() -> None:
    """No page can be allowed, or any may read what it likes without anybody having said so."""
    read = settings.http_policy_from_environment
    assert read({}) == HttpPolicy(frozenset(), compress=True)
    named = {"STRONGROOM_CORS_ORIGINS": "https://a.example, http://localhost:5173"}
    assert read(named).origins == {"https://a.example", "http://localhost:5173"}
    assert read({"STRONGROOM_COMPRESS": "no"}).compress is False
    for wrong in ({"STRONGROOM_COMPRESS": "off"}, {"STRONGROOM_CORS_ORIGINS": "a.example"}):
        with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
            read(wrong)


def test_whether_an_issuer_may_be_asked_without_tls_is_read() -> None:
    """Keys of an issuer come over plain HTTP, though nobody has said so; or never do."""
    name = "STRONGROOM_ISSUERS_OVER_HTTP_LOOPBACK"
    for text, means in (("", False), ("no", False), ("yes", True)):
        found = settings.from_environment(COMPLETE | {name: text})
        assert found.issuers_over_http_loopback is means
    for wrong in ("true", "1", "YES", "on"):
        with pytest.raises(InvalidArgumentError, match=name):
            settings.from_environment(COMPLETE | {name: wrong})


def test_how_keys_are_sealed_is_read() -> None:
    """A deployment that is to withstand a quantum computer seals keys with X25519 alone."""
    assert settings.from_environment(COMPLETE).sealing == Suite.X25519
    hybrid = COMPLETE | {"STRONGROOM_SEALING": "mlkem768-x25519"}
    assert settings.from_environment(hybrid).sealing == Suite.MLKEM768_X25519
    with pytest.raises(InvalidArgumentError, match="STRONGROOM_SEALING"):
        settings.from_environment(COMPLETE | {"STRONGROOM_SEALING": "mlkem"})


def without_kms(**named: str) -> dict[str, str]:
    """Return settings of a machine without AWS."""
    rest = {k: v for k, v in COMPLETE.items() if k != "STRONGROOM_KMS_KEY_ARN"}
    return rest | {f"STRONGROOM_{name}": value for name, value in named.items()}


def test_the_key_provider_is_chosen() -> None:
    """A machine without AWS cannot be served, or its master key is another one than was named."""
    assert settings.from_environment(COMPLETE).keys.provider is ProviderKind.KMS
    named = without_kms(KEY_PROVIDER="file", MASTER_KEY_FILE="/etc/strongroom/master.key")
    found = settings.from_environment(named).keys
    assert (found.provider, found.kms_key_arn) == (ProviderKind.FILE, "")
    assert found.master_key_file == Path("/etc/strongroom/master.key")
    entry = settings.from_environment(without_kms(KEY_PROVIDER="keyring")).keys
    assert (entry.keyring_service, entry.keyring_entry) == ("strongroom", "master-key")
    other = without_kms(KEY_PROVIDER="keyring", KEYRING_SERVICE="s", KEYRING_ENTRY="e")
    entry = settings.from_environment(other).keys
    assert (entry.keyring_service, entry.keyring_entry) == ("s", "e")
    assert entry.recovery_public_key_file is None
    escrow = COMPLETE | {"STRONGROOM_RECOVERY_PUBLIC_KEY_FILE": "/pki/recovery.pub"}
    found = settings.from_environment(escrow).keys
    assert found.recovery_public_key_file == Path("/pki/recovery.pub")


def test_a_key_provider_that_is_none_is_named() -> None:
    """A typing error leaves a deployment with another provider than was chosen."""
    with pytest.raises(InvalidArgumentError, match="one of kms, file, keyring, not 'vault'"):
        settings.from_environment(COMPLETE | {"STRONGROOM_KEY_PROVIDER": "vault"})
    with pytest.raises(InvalidArgumentError, match="set STRONGROOM_MASTER_KEY_FILE"):
        settings.from_environment(without_kms(KEY_PROVIDER="file"))


@pytest.mark.parametrize("place", ["master.key", "control/master.key", "files/../master.key"])
def test_the_master_key_does_not_lie_beside_the_data(place: str) -> None:
    """Whoever copies the shared directory has the key to it."""
    named = without_kms(KEY_PROVIDER="file", MASTER_KEY_FILE=f"/srv/strongroom/{place}")
    with pytest.raises(InvalidArgumentError, match="choose another place"):
        settings.from_environment(named)


@pytest.mark.parametrize("place", ["ca.key", "control/ca.key", "files/../ca.key"])
def test_the_authoritys_key_does_not_lie_beside_the_data(place: str) -> None:
    """Every worker reads the key by which workers and Main Workers are made."""
    with pytest.raises(InvalidArgumentError, match="STRONGROOM_CA_KEY_FILE"):
        settings.from_environment(COMPLETE | {"STRONGROOM_CA_KEY_FILE": f"/srv/strongroom/{place}"})
    assert settings.from_environment(COMPLETE).ca_key_file is None


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_setting_is_named(name: str, value: str | None) -> None:
    """An operator has to guess which setting is missing."""
    environment = {k: v for k, v in COMPLETE.items() if k != name}
    if value is not None:
        environment[name] = value
    with pytest.raises(InvalidArgumentError, match=name):
        settings.from_environment(environment)


def test_both_faces_listen_on_the_loopback_unless_told_otherwise() -> None:
    """A face that nobody has configured is open to the network."""
    rest, rpc = settings.rest_from_environment({}), settings.rpc_from_environment(RPC)
    assert (rest.host, rest.port, rest.certificate_file) == ("127.0.0.1", 8080, None)
    assert (rpc.client_listen, rpc.subscription_listen) == ("127.0.0.1:50051", "127.0.0.1:50052")
    assert rpc.server_identity.certificate_file == Path("/pki/server.pem")
    assert settings.rest_from_environment({"STRONGROOM_HTTP_LISTEN": ""}) == rest


def test_an_ipv6_address_is_taken() -> None:
    """Nothing can be served on an IPv6 address."""
    rest = settings.rest_from_environment({"STRONGROOM_HTTP_LISTEN": "[::1]:8080"})
    rpc = settings.rpc_from_environment(RPC | {"STRONGROOM_GRPC_LISTEN": "[::1]:50051"})
    assert (rest.host, rest.port) == ("::1", 8080)
    assert rpc.client_listen == "[::1]:50051"


@pytest.mark.parametrize("address", ["8080", ":8080", "host:", "host:port", "host:-1"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    """A typing error in an address ends in a stack trace, or opens another port."""
    with pytest.raises(InvalidArgumentError, match="HTTP_LISTEN is host:port"):
        settings.rest_from_environment({"STRONGROOM_HTTP_LISTEN": address})
    with pytest.raises(InvalidArgumentError, match="GRPC_LISTEN is host:port"):
        settings.rpc_from_environment(RPC | {"STRONGROOM_GRPC_LISTEN": address})


def test_a_certificate_for_https_needs_its_key() -> None:
    """HTTPS that was half configured is served as plain HTTP."""
    with pytest.raises(InvalidArgumentError, match="SERVER_KEY_FILE"):
        settings.rest_from_environment({"STRONGROOM_SERVER_CERTIFICATE_FILE": "/pki/server.pem"})


@pytest.mark.parametrize(
    ("given", "taken"), [("", 30.0), ("1", 1.0), ("2.5", 2.5), ("3600", 3600.0)]
)
def test_the_interval_of_checks_is_taken(given: str, taken: float) -> None:
    """The key provider is asked too often, or never."""
    found = settings.from_environment(COMPLETE | {"STRONGROOM_KEY_PROVIDER_CHECK_SECONDS": given})
    assert found.key_provider_check_s == taken


@pytest.mark.parametrize(
    "given", ["0", "0.9", "3601", "-1", "1e2", "nan", "inf", "ten", "1 ", "\u0663"]
)
def test_an_interval_that_is_none_is_named(given: str) -> None:
    """A typing error switches the checks off, or makes a call a millisecond."""
    name = "STRONGROOM_KEY_PROVIDER_CHECK_SECONDS"
    with pytest.raises(InvalidArgumentError, match=f"{name} is a number from 1 to 3600"):
        settings.from_environment(COMPLETE | {name: given})


def test_a_rotation_is_off_unless_it_is_set() -> None:
    """Keys are replaced that nobody wanted to be, or are not after a setting says so."""
    assert settings.rpc_from_environment(RPC).rotation.is_off
    found = settings.rpc_from_environment(
        RPC | {"STRONGROOM_ROTATE_AFTER_DAYS": "0.5", "STRONGROOM_ROTATE_AFTER_GIB": "1.5"}
    )
    assert found.rotation.after_s == 12 * 3600
    assert found.rotation.after_bytes == 1536 * 1024**2


@pytest.mark.parametrize("name", ["STRONGROOM_ROTATE_AFTER_DAYS", "STRONGROOM_ROTATE_AFTER_GIB"])
@pytest.mark.parametrize("given", ["0", "-1", "0.0000001", "99999999", "ninety", "1d"])
def test_a_bound_of_a_key_that_is_none_is_named(name: str, given: str) -> None:
    """A typing error switches rotation off, or has a key made every ten seconds."""
    with pytest.raises(InvalidArgumentError, match=f"{name} is a number"):
        settings.rpc_from_environment(RPC | {name: given})


def test_signing_keys_are_replaced_every_month_unless_it_is_said_otherwise() -> None:
    """A key signs for ever, or for another time than was said."""
    assert settings.rpc_from_environment(RPC).signing_key_days == 30
    name = "STRONGROOM_ROTATE_SIGNING_KEY_AFTER_DAYS"
    assert settings.rpc_from_environment(RPC | {name: "7.5"}).signing_key_days == 7.5
    for given in ("0", "0.5", "off", "99999"):
        with pytest.raises(InvalidArgumentError, match=f"{name} is a number from 1 to 36500"):
            settings.rpc_from_environment(RPC | {name: given})


def test_limits_are_read() -> None:
    """A deployment limits something else than it was told to, or limits clients unasked."""
    found = settings.from_environment(COMPLETE)
    assert (found.quotas, found.throttling) == (QuotaPolicies(), ThrottlePolicies.per_minute())
    told = {
        "STRONGROOM_RATE_REQUESTS_PER_SECOND": "2.5",
        "STRONGROOM_RATE_BYTES_PER_SECOND": "1000",
        "STRONGROOM_RATE_BYTES_BURST": "5000",
        "STRONGROOM_FAILED_AUTHENTICATIONS_PER_MINUTE": "6",
        "STRONGROOM_FAILED_AUTHENTICATIONS_PER_ADDRESS_PER_MINUTE": "60",
        "STRONGROOM_TRUSTED_PROXIES": "2",
    }
    found = settings.from_environment(COMPLETE | told)
    assert found.quotas == QuotaPolicies(
        Policy("requests", 2.5, 3), Policy("bytes", 1000.0, 5000, "content-bytes")
    )
    assert found.throttling == ThrottlePolicies.per_minute(6, 60, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RATE_REQUESTS_PER_SECOND", "0"),
        ("RATE_REQUESTS_PER_SECOND", "-1"),
        ("RATE_REQUESTS_PER_SECOND", "many"),
        ("RATE_BYTES_PER_SECOND", "0.5"),
        ("RATE_REQUESTS_BURST", "10"),
        ("FAILED_AUTHENTICATIONS_PER_MINUTE", "0"),
        ("FAILED_AUTHENTICATIONS_PER_MINUTE", "1.5"),
        ("TRUSTED_PROXIES", "11"),
        ("TRUSTED_PROXIES", "all"),
    ],
)
def test_a_limit_that_means_nothing_is_refused(name: str, value: str) -> None:
    """A deployment starts without the limit that somebody has mistyped."""
    with pytest.raises(InvalidArgumentError, match=f"STRONGROOM_{name}"):
        settings.from_environment(COMPLETE | {f"STRONGROOM_{name}": value})
