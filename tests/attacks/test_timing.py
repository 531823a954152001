"""How long an answer takes, for who exists and for who does not.

What proves that they cost the same are counts of reads and of MACs, which no load disturbs:
`test_an_unknown_client_costs_what_a_known_one_does` in tests/main_worker/test_client_secrets.py.
Here an attacker's own measure is taken, at a running deployment: he asks as either, in random
order, and guesses from two times which one was which. Half of his guesses are right by chance; the
bound is 60 of 100. (With 400 attempts each, chance alone leaves that band once in a million runs.
The attempts are interleaved, so that whatever else the machine does falls on both alike.)

Not bounded is what he could learn from some 10,000 attempts and more, of which the limit on failed
authentications lets 60 pass a minute; it is switched off here.
"""

import secrets
import time
from collections.abc import Callable, Iterator

import grpc
import httpx
import pytest

from strongroom_pb.v1 import auth_pb2, auth_pb2_grpc
from tests.support.attackers import SECONDS, Intruders, grant, intruders
from tests.support.deployment import Deployment

ATTEMPTS = 400
GUESSED_MAX = 0.6
SETTINGS = {
    "STRONGROOM_FAILED_AUTHENTICATIONS_PER_MINUTE": "1000000",
    "STRONGROOM_FAILED_AUTHENTICATIONS_PER_ADDRESS_PER_MINUTE": "1000000",
}
Attempt = Callable[[], None]


@pytest.fixture(scope="module")
def unlimited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment where authentication may fail as often as one likes."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in SETTINGS.items():
            environment.setenv(name, value)
        running = Deployment(tmp_path_factory.mktemp("unlimited")).start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def known(unlimited: Deployment) -> Iterator[Intruders]:
    """Some clients, one of which is asked for."""
    with intruders(unlimited) as making:
        for _ in range(3):
            making(grant("chatdb", "read"))
        making(grant("chatdb", "read"), client_id="known")
        yield making


def seconds(attempt: Attempt) -> float:
    """Return how long an attempt takes."""
    before = time.perf_counter()
    attempt()
    return time.perf_counter() - before


def guessed(one: Attempt, other: Attempt) -> float:
    """Return how often who compares two answers' times tells them apart, 0.5 for never.

    It is the area under the curve of all thresholds that he could choose (Mann and Whitney's U).
    """
    for attempt in (one, other):
        attempt()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ATTEMPTS):
        first = secrets.randbelow(2)
        for which in (first, 1 - first):
            times[which].append(seconds((one, other)[which]))
    ranked = sorted((t, which) for which in (0, 1) for t in times[which])
    ranks = sum(rank for rank, (_, which) in enumerate(ranked, 1) if which == 0)
    area = (ranks - ATTEMPTS * (ATTEMPTS + 1) / 2) / ATTEMPTS**2
    return max(area, 1 - area)


def test_over_rest_an_unknown_client_is_answered_like_a_wrong_secret(
    unlimited: Deployment, known: Intruders
) -> None:
    """If this fails, whoever measures finds out which clients there are, and attacks those."""
    assert known
    with httpx.Client(base_url=unlimited.facts["http_url"], timeout=SECONDS) as http:

        def ask(client_id: str) -> None:
            answer = http.post(
                "/oauth/token",
                data={"grant_type": "client_credentials"},
                auth=(client_id, secrets.token_urlsafe(32)),
            )
            assert answer.status_code == 401

        assert guessed(lambda: ask("known"), lambda: ask("knowm")) < GUESSED_MAX


def test_over_grpc_an_unknown_client_is_answered_like_a_wrong_secret(
    unlimited: Deployment, known: Intruders
) -> None:
    """If this fails, it is found out over gRPC."""
    assert known
    with unlimited.channel() as channel:
        stub = auth_pb2_grpc.AuthServiceStub(channel)

        def ask(client_id: str) -> None:
            asked = auth_pb2.IssueTokenRequest(
                client_id=client_id, client_secret=secrets.token_urlsafe(32)
            )
            with pytest.raises(grpc.RpcError):
                stub.IssueToken(asked, timeout=SECONDS)

        assert guessed(lambda: ask("known"), lambda: ask("knowm")) < GUESSED_MAX


def test_a_secret_is_not_found_letter_by_letter(unlimited: Deployment, known: Intruders) -> None:
    """If this fails, the answer takes longer, the more of a guess is right."""
    client = known(grant("chatdb", "read"))
    almost = client.secret[:-2] + ("AA" if client.secret[-2:] != "AA" else "BB")
    with httpx.Client(base_url=unlimited.facts["http_url"], timeout=SECONDS) as http:

        def ask(secret: str) -> None:
            answer = http.post(
                "/oauth/token",
                data={"grant_type": "client_credentials"},
                auth=(client.client_id, secret),
            )
            assert answer.status_code == 401

        wrong = secrets.token_urlsafe(32)
        assert guessed(lambda: ask(almost), lambda: ask(wrong)) < GUESSED_MAX


def test_an_unknown_worker_is_answered_like_a_wrong_credential(
    unlimited: Deployment, known: Intruders
) -> None:
    """If this fails, whoever measures finds out which workers subscribe over REST."""
    made = known.root.rest.put("/workers/known-worker?replace=true")
    assert made.is_success
    with httpx.Client(base_url=unlimited.facts["http_url"], timeout=SECONDS) as http:

        def ask(worker_id: str) -> None:
            answer = http.post(
                "/workers/subscribe",
                json={"worker_id": worker_id, "pubkey": "AAAA"},
                auth=(worker_id, secrets.token_urlsafe(32)),
            )
            assert answer.status_code == 401

        assert guessed(lambda: ask("known-worker"), lambda: ask("knowm-worker")) < GUESSED_MAX


def test_the_measure_sees_what_differs(unlimited: Deployment) -> None:
    """If this fails, the tests above would see no difference, however large."""
    with httpx.Client(base_url=unlimited.facts["http_url"], timeout=SECONDS) as http:

        def ask(pause_s: float) -> None:
            answer = http.get("/healthz")
            assert answer.status_code == 200
            until = time.perf_counter() + pause_s
            while time.perf_counter() < until:
                pass

        # Three times what an answer takes.
        usual = sorted(seconds(lambda: ask(0.0)) for _ in range(50))[25]
        assert guessed(lambda: ask(3 * usual), lambda: ask(0.0)) > GUESSED_MAX
