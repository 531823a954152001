"""A deployment is founded on AWS, and a worker of it starts, without anybody copying a file."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from main_api import bootstrap, founding, settings
from main_api.adapters.secrets import SecretsManager, provide
from main_api.founding import Places
from strongroom import certificates
from strongroom.certificates import Authority
from strongroom.errors import InvalidArgumentError, UnavailableError
from strongroom.rpc import tls
from tests.support.clocks import ManualClock

_DAY_MS = 24 * 3600 * 1000


@dataclass
class Aws:
    """moto's Secrets Manager and KMS, as the template has left them."""

    places: Places
    key_arn: str


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """Four secrets in which nothing is set yet, and a key."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        secrets = boto3.client("secretsmanager")
        made = [
            secrets.create_secret(Name=name, SecretString=json.dumps({"unset": "x"}))["ARN"]
            for name in ("authority", "identity", "enrolment", "administrator")
        ]
        yield Aws(Places(*made), boto3.client("kms").create_key()["KeyMetadata"]["Arn"])


def _environment(aws: Aws, root: Path) -> dict[str, str]:
    return {
        "STRONGROOM_SHARED_DIR": str(root / "shared"),
        "STRONGROOM_KMS_KEY_ARN": aws.key_arn,
        "STRONGROOM_CA_FILE": str(root / "run" / "ca.pem"),
        "STRONGROOM_CERTIFICATE_FILE": str(root / "run" / "own.pem"),
        "STRONGROOM_KEY_FILE": str(root / "run" / "own.key"),
        "STRONGROOM_CA_KEY_FILE": str(root / "run" / "ca.key"),
        "STRONGROOM_AUTHORITY_SECRET_ARN": aws.places.authority,
        "STRONGROOM_IDENTITY_SECRET_ARN": aws.places.main_identity,
        "STRONGROOM_ENROLMENT_SECRET_ARN": aws.places.enrolment,
        "STRONGROOM_ADMINISTRATOR_SECRET_ARN": aws.places.administrator,
    }


def test_a_deployment_is_founded_once(
    aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weekly run makes a second keyring, or another administrator; or the first makes none."""
    (tmp_path / "shared").mkdir()
    environment = _environment(aws, tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert founding.main() == 0
    secrets = SecretsManager()
    first = {arn: secrets.read(arn) for arn in vars_of(aws.places)}
    main_worker = bootstrap.build(settings.from_environment(environment))
    kept = first[aws.places.administrator]
    token = main_worker.authorization.issue_token(kept["client_id"], kept["client_secret"], "")
    assert token.access_token
    assert founding.main() == 0
    assert {arn: secrets.read(arn) for arn in vars_of(aws.places)} == first


def test_certificates_are_of_one_authority_and_renewed(aws: Aws) -> None:
    """Main Workers and workers do not know each other; or their certificates end one day."""
    secrets, clock = SecretsManager(), ManualClock()
    founding.issue(secrets, aws.places, clock)
    kept = secrets.read(aws.places.authority)
    authority = Authority.load(kept["key"].encode(), kept["certificate"].encode())
    for arn, name in (
        (aws.places.main_identity, tls.MAIN_NAME),
        (aws.places.enrolment, tls.ENROLMENT_NAME),
    ):
        made = secrets.read(arn)
        certificate = certificates.require_pair(made["certificate"].encode(), made["key"].encode())
        assert certificate.names == (name,)
        assert authority.has_issued(made["certificate"].encode())
    before = secrets.read(aws.places.main_identity)
    clock.advance(70 * _DAY_MS / 1000)
    founding.issue(secrets, aws.places, clock)
    after = secrets.read(aws.places.main_identity)
    assert after["certificate"] != before["certificate"]
    assert after["ca"] == before["ca"]
    assert secrets.read(aws.places.authority) == kept


def test_files_are_made_of_a_secret_once(aws: Aws, tmp_path: Path) -> None:
    """A process that is started again goes back to a certificate that it has replaced."""
    secrets = SecretsManager()
    secrets.write(aws.places.main_identity, {"ca": "A", "key": "B"})
    files = {"ca": tmp_path / "run" / "ca.pem", "key": tmp_path / "run" / "own.key"}
    provide(secrets, aws.places.main_identity, files)
    assert files["key"].read_text() == "B"
    assert files["key"].stat().st_mode & 0o077 == 0
    assert files["key"].parent.stat().st_mode & 0o077 == 0
    secrets.write(aws.places.main_identity, {"ca": "C", "key": "D"})
    provide(secrets, aws.places.main_identity, files)
    assert files["key"].read_text() == "B"


def test_a_secret_that_is_not_set_says_so_and_shows_nothing(aws: Aws, tmp_path: Path) -> None:
    """A task fails without a reason, or its log shows what is in a secret."""
    secrets = SecretsManager()
    with pytest.raises(UnavailableError, match="the founder has not run yet"):
        provide(secrets, aws.places.authority, {"key": tmp_path / "ca.key"})
    boto3.client("secretsmanager").put_secret_value(
        SecretId=aws.places.authority, SecretString="TOP-SECRET"
    )
    with pytest.raises(UnavailableError, match="not a JSON object") as refused:
        secrets.read(aws.places.authority)
    assert "TOP-SECRET" not in refused.value.detail
    assert refused.value.__cause__ is None
    with pytest.raises(UnavailableError, match="ResourceNotFoundException"):
        secrets.read("arn:aws:secretsmanager:eu-central-1:123456789012:secret:none")
    with pytest.raises(InvalidArgumentError, match="STRONGROOM_ENROLMENT_SECRET_ARN"):
        Places.from_environment({})


def vars_of(places: Places) -> list[str]:
    """Return the four ARNs."""
    return [places.authority, places.main_identity, places.enrolment, places.administrator]
