"""What recording reads and writes costs, as a ratio: each setting against none, in one run.

    python -m tests.support.audit_bench [--seconds 4]

Clients in threads read and write one small entity each, over REST, through a whole deployment. The
settings take turns, several rounds of each; told is the median of the rounds.
"""

import argparse
import http.client
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from tests.support.deployment import CHAT, Deployment

MODES = ("off", "batched", "required")
ROUNDS = 3
THREADS = (1, 16)
WRITES = {"read": ("GET", 200), "write": ("PUT", 200)}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    seconds = parser.parse_args().seconds
    directory = Path(tempfile.mkdtemp(prefix="audit-bench-"))
    try:
        rates = _measured(directory, seconds)
    finally:
        shutil.rmtree(directory)
    for (what, threads), of_mode in sorted(rates.items()):
        off = median(of_mode["off"])
        shown = "  ".join(
            f"{mode} {median(found):7.0f}/s {median(found) / off:5.2f}"
            for mode, found in of_mode.items()
        )
        sys.stdout.write(f"{what:5} {threads:2} threads  {shown}\n")


def _measured(directory: Path, seconds: float) -> dict[tuple[str, int], dict[str, list[float]]]:
    rates: dict[tuple[str, int], dict[str, list[float]]] = {}
    for number in range(ROUNDS):
        for mode in MODES:
            os.environ["STRONGROOM_AUDIT_READS"] = os.environ["STRONGROOM_AUDIT_WRITES"] = mode
            running = Deployment(directory / f"{number}-{mode}")
            running.directory.mkdir()
            running.start()
            try:
                for what, threads in ((w, t) for w in WRITES for t in THREADS):
                    found = _rate(running, what, threads, seconds)
                    rates.setdefault((what, threads), {}).setdefault(mode, []).append(found)
            finally:
                running.stop()
    return rates


def _rate(running: Deployment, what: str, threads: int, seconds: float) -> float:
    token = running.token()
    address = urlsplit(running.facts["http_url"])
    method, expected = WRITES[what]
    stop = threading.Event()

    def client(number: int) -> int:
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        key = f"key-{number}"
        body = json.dumps({key: CHAT})

        def ask(method: str) -> int:
            target = "/entity/chatdb" if method == "PUT" else f"/entity/chatdb?key={key}"
            connection.request(method, target, body if method == "PUT" else None, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status

        ask("PUT")
        done = 0
        while not stop.is_set():
            assert ask(method) == expected
            done += 1
        connection.close()
        return done

    with ThreadPoolExecutor(threads) as pool:
        began = time.monotonic()
        clients = [pool.submit(client, number) for number in range(threads)]
        stop.wait(seconds)
        stop.set()
        total = sum(one.result() for one in clients)
        return total / (time.monotonic() - began)


if __name__ == "__main__":
    main()
