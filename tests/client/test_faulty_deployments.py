"""Real sockets, and deployments that fail: in all four combinations the same is made of it."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from strongroom_client import (
    ClientCredentials,
    ConfigurationError,
    Options,
    OutcomeUnknownError,
    PreconditionFailedError,
    Retries,
    ServerError,
    StaticToken,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
)
from tests.support.client_combinations import COMBINATIONS, Asked, Where, client_of
from tests.support.faulty_deployments import VERSION, Fault, Script, over_grpc, over_http
from tests.support.rpc_mains import Pki
from tests.support.threads import at_once

ME = ClientCredentials("me", "hunter2")
QUICK = Retries(first_pause_s=0.01)
Serve = Callable[..., Asked]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Whom the clients trust."""
    return Pki.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture(params=COMBINATIONS)
def combination(request: pytest.FixtureRequest) -> str:
    """One of the four."""
    name: str = request.param
    return name


@pytest.fixture
def serve(combination: str, pki: Pki) -> Iterator[Serve]:
    """Serve a script, and return a client of it."""
    with ExitStack() as stack:

        def serve(script: Script, credentials: object = ME, **options: object) -> Asked:
            return stack.enter_context(_served(combination, pki, script, credentials, options))

        yield serve


@contextmanager
def _served(
    combination: str, pki: Pki, script: Script, credentials: object, options: dict[str, object]
) -> Iterator[Asked]:
    chosen = Options(**{"ca_file": pki.ca_file, "retries": QUICK, **options})  # type: ignore[arg-type]
    serving = over_grpc(script, pki.server) if "grpc" in combination else over_http(script)
    with serving as url:
        where = Where({combination.partition("-")[0]: url})
        with client_of(combination, where, credentials, chosen) as client:  # type: ignore[arg-type]
            yield client


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.CUT])
def test_a_read_outlives_a_failure(serve: Serve, fault: Fault) -> None:
    """A worker that restarts ends a program's work."""
    script = Script([fault, Fault.NONE])
    client = serve(script)
    began = time.monotonic()
    assert client.get("d", "k").version == VERSION
    assert len(script.asked) == 2
    assert (time.monotonic() - began >= 1.0) == (fault is Fault.BUSY), "Retry-After is a second"


def test_a_write_is_repeated_under_one_key(serve: Serve) -> None:
    """A connection that breaks makes of one write two."""
    script = Script([Fault.CUT, Fault.NONE])
    client = serve(script)
    assert client.put("d", "k", 1).version == VERSION
    (_, first), (_, second) = script.asked
    assert first == second != ""
    client.put("d", "k", 1)
    assert script.asked[2][1] != first, "another write has another key"
    client.put("d", "k", 1, idempotency_key="mine")
    assert script.asked[3][1] == "mine"


def test_a_write_that_ends_in_silence(serve: Serve) -> None:
    """A write without an answer is told as one that did not take place."""
    client = serve(Script([Fault.SILENCE]), attempt_s=0.3)
    began = time.monotonic()
    with pytest.raises(OutcomeUnknownError) as unknown:
        client.put("d", "k", 1, timeout_s=0.7)
    assert time.monotonic() - began < 2.0
    assert len(unknown.value.request_id) == 32


def test_silence_is_not_waited_for(serve: Serve) -> None:
    """A process that hangs holds up every program."""
    script = Script([Fault.SILENCE, Fault.NONE])
    client = serve(script, attempt_s=0.3)
    began = time.monotonic()
    assert client.get("d", "k").value == 1
    assert time.monotonic() - began < 2.0


def test_a_condition_that_does_not_hold_after_a_cut(serve: Serve) -> None:
    """A definite answer is lost behind an earlier failure."""
    client = serve(Script([Fault.CUT, Fault.PRECONDITION]))
    with pytest.raises(PreconditionFailedError) as refused:
        client.put("d", "k", 1, if_version=1)
    assert refused.value.current_version == VERSION


def test_attempts_are_bounded(serve: Serve) -> None:
    """A deployment in need is asked without end."""
    script = Script([Fault.CUT])
    client = serve(script)
    with pytest.raises(UnavailableError):
        client.get("d", "k")
    assert len(script.asked) == QUICK.attempts
    for _ in range(10):
        with pytest.raises(UnavailableError):
            client.get("d", "k")
    # While gRPC waits to connect again, an attempt fails without being sent: perhaps none is.
    assert len(script.asked) <= 11 + 10, "the budget of further attempts is used up"


def test_a_refused_token_is_replaced(serve: Serve) -> None:
    """A token that was revoked ends a program's work."""
    script = Script([Fault.NONE, Fault.UNAUTHENTICATED, Fault.NONE])
    client = serve(script)
    client.get("d", "k")
    client.get("d", "k")
    assert [token for token, _ in script.asked] == ["token-1", "token-1", "token-2"]


def test_a_client_that_is_shut_out_stops(serve: Serve) -> None:
    """A revoked client asks for token after token."""
    script = Script([Fault.UNAUTHENTICATED])
    client = serve(script)
    with pytest.raises(UnauthenticatedError):
        client.get("d", "k")
    assert (len(script.asked), script.tokens) == (2, 2)


def test_many_that_need_a_token_ask_for_one(combination: str, serve: Serve) -> None:
    """A program that starts asks for as many tokens as it has threads, and is limited."""
    script = Script([Fault.NONE], token_takes_s=0.2)
    client = serve(script)
    if combination.endswith("async"):
        client.together(*[lambda one: one.get("d", "k")] * 20)
    else:
        at_once([partial(client.get, "d", "k")] * 20)
    assert script.tokens == 1
    assert len(script.asked) == 20


def test_a_token_is_renewed_before_it_ends(serve: Serve) -> None:
    """A call is refused whenever a token ends."""
    script = Script([Fault.NONE], token_s=1)
    client = serve(script)
    client.get("d", "k")
    time.sleep(0.85)
    client.get("d", "k")
    assert [token for token, _ in script.asked] == ["token-1", "token-2"]


def test_connections_are_used_again(serve: Serve) -> None:
    """Each call pays for a handshake."""
    script = Script([Fault.NONE])
    client = serve(script)
    for _ in range(10):
        client.get("d", "k")
        client.put("d", "k", 1)
    assert len(script.connections) == 1


def test_an_answer_of_somebody_else(serve: Serve) -> None:
    """A captive portal's page is taken for an entity."""
    client = serve(Script([Fault.NONSENSE]))
    with pytest.raises(ServerError):
        client.get("d", "k")


def test_after_the_end(serve: Serve) -> None:
    """A client that was closed opens connections that nobody closes."""
    client = serve(Script([Fault.NONE]))
    client.get("d", "k")
    client.close()
    with pytest.raises(ConfigurationError):
        client.get("d", "k")


def test_nothing_secret_is_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """A program that logs all that its libraries say logs its secret, a token, or a key."""
    with caplog.at_level(logging.DEBUG):
        client = serve(Script([Fault.CUT, Fault.UNAUTHENTICATED, Fault.NONE]))
        client.put("d", "secret-key", "secret-value")
        client.get("d", "secret-key")
    logged = caplog.text
    for secret in ("hunter2", "token-1", "token-2", "secret-key", "secret-value"):
        assert secret not in logged


@pytest.mark.parametrize("kind", ["rest-sync", "rest-async"])
@pytest.mark.parametrize("fault", [Fault.DRIP, Fault.DRIP_BODY])
def test_a_drip_is_not_waited_for(kind: str, fault: Fault, pki: Pki) -> None:
    """A server that sends a byte now and then holds a thread for ever."""
    with _served(kind, pki, Script([fault]), StaticToken("t"), {}) as client:
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            client.get("d", "k", timeout_s=1.0)
        assert time.monotonic() - began < 1.6, "the last byte came after 0.8 s"


@pytest.mark.parametrize("kind", ["rest-sync", "rest-async"])
def test_a_body_without_end(kind: str, pki: Pki) -> None:
    """A server fills a program's memory."""
    script = Script([Fault.ENDLESS])
    with (
        _served(kind, pki, script, StaticToken("t"), {}) as client,
        pytest.raises(TooLargeError),
    ):
        client.get("d", "k")
    assert script.endless_bytes < 64 * 2**20, "beyond 8 MiB there is what sockets hold"


@pytest.mark.parametrize("kind", ["rest-sync", "rest-async"])
def test_tls_of_rest(kind: str, pki: Pki, tmp_path: Path) -> None:
    """A secret is told to whom nobody vouches for, or a deployment's own authority is not taken."""
    stranger = Pki.make(tmp_path).ca_file
    script = Script([Fault.NONE])
    with over_http(script, pki.server) as url:
        where = Where({"rest": url})
        with client_of(kind, where, ME, Options(ca_file=pki.ca_file)) as client:
            assert client.get("d", "k").version == VERSION
        told = script.tokens
        for distrustful in (Options(), Options(ca_file=stranger)):
            with client_of(kind, where, ME, distrustful) as client, pytest.raises(UnavailableError):
                client.get("d", "k", timeout_s=0.3)
        assert script.tokens == told


def test_a_proxy_of_the_environment_is_not_asked(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sets a variable has all that is asked and answered go through a host of theirs."""
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    client = serve(Script([Fault.NONE]))
    assert client.get("d", "k", timeout_s=5.0).version == VERSION
