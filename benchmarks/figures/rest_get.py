"""A read of what a worker has cached over REST: all hops, on all cores."""

from collections.abc import Callable
from typing import Final

from benchmarks import documents
from benchmarks.figure import Figure, Pair, Pairs, WrongAnswerError, at_least
from benchmarks.figures.warm_get import bare
from benchmarks.floors.running import running
from benchmarks.ground import Ground
from benchmarks.load.requests import Requests
from benchmarks.worker import DATABASE, WorkerOf
from tests.support.deployment import Deployment, wait_until

_KEYS: Final = 64
_OK: Final = b"HTTP/1.1 200"
_STARTS_S: Final = 10.0


def _pairs(ground: Ground, connections: int) -> Pairs:
    deployment = ground.deployment()
    worker = WorkerOf.of(deployment)
    stored = {f"warm-{n}": documents.document(n) for n in range(ground.at_most(_KEYS, 2))}
    worker.filled(stored)
    requests = [request(deployment, f"/entity/{DATABASE}?key={key}") for key in stored]
    expected = [b'{"%s":%s}' % (key.encode(), document) for key, document in stored.items()]
    address = deployment.facts["http_url"].removeprefix("http://")
    with (
        bare(ground, worker, expected[0]) as echo,
        running("benchmarks.floors.rest", *_channel(worker, echo.address)) as floor,
    ):
        wait_until(lambda: _answers(floor.address), _STARTS_S)
        with (
            Requests(address, connections) as ours,
            Requests(floor.address, connections) as theirs,
        ):

            def ask(asked: Requests, right: list[bytes]) -> float:
                check = _against(right)
                load = asked.run(
                    lambda n: requests[n % len(requests)], check, seconds=ground.slice_s
                )
                return load.per_second

            # Both start their threads, and take their time to.
            ask(ours, expected), ask(theirs, expected[:1])
            while True:
                yield Pair(ask(ours, expected), ask(theirs, expected[:1]))


def request(deployment: Deployment, target: str) -> bytes:
    """Return a GET as a client sends it."""
    host = deployment.facts["http_url"].removeprefix("http://")
    return (
        f"GET {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {deployment.token()}\r\n"
        "Accept: */*\r\nUser-Agent: bench\r\n\r\n"
    ).encode()


def _channel(worker: WorkerOf, address: str) -> list[object]:
    files = worker.certificates
    return [
        *("--ca", files.ca_file),
        *("--certificate", files.certificate_file),
        *("--key", files.key_file),
        *("--address", address),
        *("--name", files.server_name),
    ]


def _answers(address: str) -> bool:
    try:
        Requests(address, 1).__exit__()
    except OSError:
        return False
    return True


def _against(expected: list[bytes]) -> Callable[[int, bytes, bytes], None]:
    def check(number: int, head: bytes, body: bytes) -> None:
        if not head.startswith(_OK) or body != expected[number % len(expected)]:
            raise WrongAnswerError(f"a warm read over REST is answered with {head!r}")

    return check


def _figure(connections: int) -> Figure:
    return Figure(
        name=f"get-rest-{connections}",
        measures=f"warm read, REST through Main Worker and worker, {connections} in flight",
        floor="granian, a bare Chalice route, one bare gRPC call over the same mutual TLS",
        unit="/s",
        goal=at_least(0.85),
        pairs=lambda ground: _pairs(ground, connections),
    )


FIGURES: Final = (_figure(1), _figure(16))
