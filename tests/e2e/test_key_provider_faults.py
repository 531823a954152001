"""KMS is down, slow, throttling or refusing: who starts says so and ends, who runs goes on."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.deployment import CHAT, wait_until
from tests.support.faulty_kms import FAULTS, Fault, FaultyDeployment
from tests.support.starting import Starting

SECONDS = 60.0
ATTEMPTS = {
    "down": 0,
    "slow": 3,
    "throttling": 3,
    "denying": 1,
    "disabled": 1,
    "pending deletion": 1,
    "not found": 1,
    "failing": 3,
}
REASON = {
    "down": "EndpointConnectionError",
    "slow": "ReadTimeoutError",
    **{name: fault.code for name, fault in FAULTS.items() if fault.code},
}
ADVICE = {
    "down": "check that its endpoint can be reached",
    "slow": "does not answer in time",
    "throttling": "start again later, or raise its quota",
    "denying": "allow this role kms:Decrypt",
    "disabled": "aws kms enable-key",
    "pending deletion": "aws kms cancel-key-deletion",
    "not found": "STRONGROOM_KMS_KEY_ARN",
    "failing": "check that it is enabled",
}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyDeployment]:
    """Return a deployment whose Main Workers check KMS every second."""
    made = FaultyDeployment(
        tmp_path_factory.mktemp("faults") / "root", STRONGROOM_KEY_PROVIDER_CHECK_SECONDS="1"
    )
    made.start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def healed(deployment: FaultyDeployment) -> Iterator[None]:
    """Leave KMS as it was found."""
    yield
    deployment.kms.fail(None)
    assert wait_until(lambda: _provider(deployment)["status"] == "ok", SECONDS)


def _provider(deployment: FaultyDeployment) -> dict[str, Any]:
    answer = httpx.get(f"{deployment.http_url}/readyz", verify=deployment.trusted)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["key_provider"]
    return found


@pytest.mark.parametrize("name", FAULTS)
def test_a_start_fails_with_one_line_that_says_what_to_do(
    deployment: FaultyDeployment, name: str
) -> None:
    """A start hangs, or a supervisor takes it for a success, or nobody knows what to mend.

    Of what may pass soon there are three attempts, of a refusal one: a fleet that starts during an
    outage must not make it a longer one.
    """
    starts = [Starting(deployment, face, FAULTS[name]) for face in ("rest", "grpc")]
    for start in starts:
        code, said = start.ended()
        assert code not in {0, None}
        (line,) = said.splitlines()
        assert line.startswith("main_api.")
        assert ADVICE[name] in line
        assert deployment.kms.key_arn in line
        assert start.kms.operations == ["Decrypt"] * ATTEMPTS[name]


def test_a_start_outlasts_a_short_throttling(deployment: FaultyDeployment) -> None:
    """A burst of starts ends the half of them."""
    fault = Fault("ThrottlingException", requests=2)
    starts = [Starting(deployment, face, fault, is_forged=False) for face in ("rest", "grpc")]
    for start in starts:
        assert wait_until(start.serves, SECONDS)
        # One that serves goes on to check the provider every second.
        assert start.kms.operations[:3] == ["Decrypt"] * 3
        start.process.terminate()
        assert start.ended()[0] == 0


@pytest.mark.parametrize("face", ["rest", "grpc"])
def test_a_start_that_waits_for_kms_is_ended_by_sigterm(
    deployment: FaultyDeployment, face: str
) -> None:
    """A Main Worker that was told to stop while it started serves on, and is waited for."""
    start = Starting(deployment, face, FAULTS["slow"], is_forged=False)
    assert wait_until(lambda: bool(start.kms.operations), SECONDS)
    start.process.terminate()
    start.ended()
    assert start.kms.operations == ["Decrypt"]


@pytest.mark.parametrize("name", FAULTS)
def test_who_runs_goes_on_and_says_so(deployment: FaultyDeployment, name: str) -> None:
    """An outage of KMS becomes one of the database, or nobody learns of it before a start fails."""
    deployment.kms.fail(FAULTS[name])
    assert wait_until(lambda: _provider(deployment)["status"] == "unavailable", SECONDS)
    told = _provider(deployment)
    assert told["reason"] == REASON[name]
    assert told["since"] > "2026"
    with deployment.http() as http:
        _works(http, "before")
        assert http.post("/keys/rotate").status_code == 201
        _works(http, "rotated")
        deployment.restart("worker-1")
        # Until the Main Worker sees where it is now, the only worker there is has been lost.
        again = {"subscribed anew": CHAT}
        assert wait_until(lambda: http.put("/entity/chatdb", json=again).is_success, SECONDS)
        _works(http, "subscribed anew")
        metrics = http.get("/metrics").text.splitlines()
        assert "strongroom_key_provider_up 0.0" in metrics
        assert "strongroom_key_provider_failures_total 0.0" not in metrics
    for face in ("rest", "grpc"):
        assert wait_until(lambda face=face: _outages(deployment, face) > 0, SECONDS)  # type: ignore[misc]
    account = deployment.kms.key_arn.split(":")[4]
    told_all = httpx.get(f"{deployment.http_url}/readyz", verify=deployment.trusted)
    assert account not in told_all.text


def test_nobody_outside_makes_a_main_worker_call_kms(deployment: FaultyDeployment) -> None:
    """A stranger's requests are billed by AWS, and use up the account's quota."""
    deployment.kms.fail(None)
    asked, began_s = 300, time.monotonic()
    with httpx.Client(verify=deployment.trusted) as stranger:
        for _ in range(asked):
            stranger.get(f"{deployment.http_url}/readyz")
    # Each of the two faces checks it every second.
    of_their_own = 2 * (time.monotonic() - began_s + 1)
    assert len(deployment.kms.operations) < of_their_own + asked / 5


def _works(http: httpx.Client, key: str) -> None:
    written = http.put("/entity/chatdb", json={key: CHAT})
    assert written.status_code in {200, 201}, written.text
    assert http.get("/entity/chatdb", params={"key": key}).json() == {key: CHAT}


def _outages(deployment: FaultyDeployment, face: str) -> int:
    lines = [json.loads(one) for one in deployment.log(face).splitlines() if one.startswith("{")]
    return sum(line["event"] == "key-provider-unavailable" for line in lines)
