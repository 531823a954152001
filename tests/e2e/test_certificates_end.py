"""Every certificate of a deployment ends within seconds, under clients that must not notice.

It takes half a minute: the certificates have to be taken over, renewed, and then to end.
"""

import http.client
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import httpx
import pytest

from strongroom import certificates
from strongroom.clock import SystemClock
from strongroom.identity import Identity
from strongroom_pb.v1 import entity_pb2
from tests.support import short_lived
from tests.support.commands import environment, ran
from tests.support.deployment import CHAT, Deployment, kill, wait_until

LEFT_S = 25.0
HESITATING = 8
HESITATES_S = 1.0
HOLDERS = ("main", "server", "worker-1", "worker-2")
DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment that serves REST over TLS itself."""
    running = Deployment(tmp_path, ("--https",)).start()
    yield running
    assert running.stop() == 0


class Client:
    """Calls again and again, in a thread; keeps what has failed."""

    def __init__(self, call: Callable[[], object]) -> None:
        """Take what to call."""
        self._call = call
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.calls = 0
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(0.05):
            try:
                self._call()
            except Exception as error:  # noqa: BLE001 - whatever a client could see
                self.failures.append(repr(error))
            self.calls += 1


def ends_ms(files: Identity) -> int:
    """Return when the certificate ends that lies in a file."""
    return certificates.parse(files.certificate_file.read_bytes()).ends_ms


def test_certificates_that_end_are_renewed_and_nobody_notices(own: Deployment) -> None:
    """On one day everything stands still, or requests fail while certificates are replaced."""
    pki = own.root / "pki"
    files = {
        name: Identity(pki / "ca.pem", pki / f"{name}.pem", pki / f"{name}.key") for name in HOLDERS
    }
    url, ca = own.facts["http_url"], own.facts["grpc_ca_file"]
    trusted = ssl.create_default_context(cafile=ca)
    client_id, secret = own.credentials()
    token = httpx.post(
        f"{url}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(client_id, secret),
        verify=trusted,
    ).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    stub, metadata = own.grpc()
    written = iter(range(10**9))

    def over_rest() -> None:
        # A new connection each time, so that each shows a certificate.
        answer = httpx.put(
            f"{url}/entity/chatdb",
            json={f"rest-{next(written) % 50}": CHAT},
            headers=headers,
            verify=trusted,
            timeout=20,
        )
        assert answer.status_code in {200, 201}, answer.text

    def hesitating() -> None:
        # Whoever is told to go in the meantime has to answer all the same.
        host, _, port = url.removeprefix("https://").rpartition(":")
        connection = http.client.HTTPSConnection(host, int(port), timeout=20, context=trusted)
        connection.connect()
        time.sleep(HESITATES_S)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()

    def over_grpc() -> None:
        request = entity_pb2.PutEntityRequest(
            database="chatdb", key=f"grpc-{next(written) % 50}", document=b'{"chat": []}'
        )
        stub.PutEntity(request, metadata=metadata, timeout=20)

    with ExitStack() as stack:
        rest, rpc = stack.enter_context(Client(over_rest)), stack.enter_context(Client(over_grpc))
        crowd = [stack.enter_context(Client(hesitating)) for _ in range(HESITATING)]
        soon_ms = SystemClock().wall_ms() + round(LEFT_S * 1000)
        for one in files.values():
            short_lived.replace(one, LEFT_S)
        far_ms = soon_ms + 80 * DAY_MS
        assert wait_until(lambda: all(ends_ms(one) > far_ms for one in files.values()), LEFT_S), {
            name: ends_ms(one) - soon_ms for name, one in files.items()
        }
        time.sleep(max(0.0, soon_ms - SystemClock().wall_ms()) / 1000 + 3.0)
    assert (rest.failures, rpc.failures) == ([], [])
    assert [one.failures for one in crowd] == [[]] * HESITATING
    assert rest.calls > 20
    assert rpc.calls > 20
    # Not by restarts.
    assert own.reload()["pids"]["grpc"] == own.facts["pids"]["grpc"]
    # What is told is what is shown now; and who starts anew has it too.
    before = own.facts["pids"]["workers"]["worker-1"]
    kill(before)
    assert wait_until(lambda: own.reload()["pids"]["workers"]["worker-1"] != before, 20)
    listed = ran({**environment(own), "STRONGROOM_CA_FILE": ca}, "workers", "list").stdout
    rows = [row.split("\t") for row in listed.splitlines()]
    assert {row[0]: row[4][:10] for row in rows} == {
        name: certificates.parse(files[name].certificate_file.read_bytes()).until[:10]
        for name in ("worker-1", "worker-2")
    }
