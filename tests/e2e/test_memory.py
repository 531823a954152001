"""What the processes need in memory, however many clients come with large bodies."""

from pathlib import Path

from tests.support.deployment import CHAT, Deployment
from tests.support.flood import Flood, bound_bytes

CLIENTS = 100
CONNECTIONS = 60
SERVED_OR_REFUSED = {"200", "201", "429", "503", "OK", "RESOURCE_EXHAUSTED", "UNAVAILABLE"}


def test_memory_stays_within_its_bounds_under_large_bodies(tmp_path: Path) -> None:
    """A few hundred clients with large bodies end the processes, or the machine."""
    running = Deployment(tmp_path).start()
    try:
        flood = Flood(running)
        flood.run(CLIENTS, CONNECTIONS)
        too_much = {n: peak for n, peak in flood.peaks().items() if peak > bound_bytes(n)}
        assert too_much == {}
        assert {answer.split()[1] for answer in flood.answers} <= SERVED_OR_REFUSED
        assert sum(n for a, n in flood.answers.items() if a.split()[1] in {"200", "201", "OK"}) > 0
        with running.client() as client:
            assert client.put("chatdb", "afterwards", CHAT).created
    finally:
        assert running.stop() == 0
