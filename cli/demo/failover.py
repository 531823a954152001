"""Step 7: a worker is killed, and no client notices."""

import os
import signal
import threading
from typing import Any, Final

from cli.demo.stage import Stage
from cli.demo.step import Step
from main_api.domain import placement
from strongroom.clock import SystemClock
from strongroom.errors import UnavailableError
from strongroom_client.rest.messages import HttpResponse

_RESTARTED_S: Final = 20.0
_POLL_S: Final = 0.02
_MEANING: Final = (
    "The Main Worker asks the worker that ranks first for the key, which keeps caches warm. When"
    " that one is dead, the next one answers: all of them read the same files. The supervisor"
    " starts the dead one again; it has nothing in memory, subscribes anew, and its cache is empty."
)


def show(stage: Stage) -> Step:
    """Kill the worker that would be asked, read, and wait until it is back."""
    workers = stage.workers()
    ranked = placement.rank(list(workers.values()), stage.database.name, stage.entity_key)
    killed, survivor = ranked[0].worker_id, ranked[1].worker_id
    pid = _pids(stage)[killed]
    warm, before = _get(stage), stage.statistics(survivor)
    ended_by = _kill(pid)
    listed = killed in stage.workers()
    cold, after = _get(stage), stage.statistics(survivor)
    observed: dict[str, Any] = {
        "asked_first": killed,
        "read_before": _shown(warm),
        "killed": {"worker": killed, "pid": pid, "ended_by": ended_by, "still_listed": listed},
        "read_after": _shown(cold),
        "answered_by": {"worker": survivor, "reads": (_reads(before), _reads(after))},
        "restarted": _restart(stage, killed),
    }
    restarted = observed["restarted"]
    expected = {
        "the worker that would be asked first died of SIGKILL": ended_by == signal.SIGKILL.name,
        "the read after that is answered as the one before": _shown(cold) == _shown(warm),
        "and it was the other worker that answered": _reads(after) == _reads(before) + 1,
        "the dead one is back as another process, under a new subscription": (
            restarted["pid"] != pid
            and stage.workers()[killed].subscription_id != workers[killed].subscription_id
        ),
        "with an empty cache": restarted["cache_entries"] == 0,
    }
    return Step("failover", "A worker is killed", _MEANING, observed, expected)


def _pids(stage: Stage) -> dict[str, int]:
    return dict(stage.deployment.facts()["pids"]["workers"])


def _get(stage: Stage) -> HttpResponse:
    return stage.rest.entity(stage.database.name, stage.entity_key)


def _shown(answer: HttpResponse) -> dict[str, Any]:
    return {
        "status": answer.status,
        "etag": answer.headers.get("etag"),
        "body": answer.body.decode(),
    }


def _reads(statistics: dict[str, int]) -> int:
    return statistics["cache_hits"] + statistics["cache_misses"]


def _kill(pid: int) -> str:
    """Kill a worker and return what ended it, as its parent learns it, which we are."""
    os.kill(pid, signal.SIGKILL)
    # WNOWAIT: the supervisor wants to learn it too.
    end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    if end is None or end.si_code == os.CLD_EXITED:
        return "itself"
    return signal.Signals(end.si_status).name


def _restart(stage: Stage, worker_id: str) -> dict[str, Any]:
    """Let the supervisor do its work, as `strongroom up` does, and look at the new process.

    Raises:
        UnavailableError: The worker does not come back.
    """
    clock, pause = SystemClock(), threading.Event()
    ends_at_s = clock.boot_s() + _RESTARTED_S
    while not stage.deployment.watch():
        if clock.boot_s() > ends_at_s:
            raise UnavailableError(f"{worker_id} was not started again")
        pause.wait(_POLL_S)
    listed = stage.workers_now()[worker_id]
    return {
        "worker": worker_id,
        "pid": _pids(stage)[worker_id],
        "registered_at": listed.registered_at,
        "cache_entries": stage.statistics(worker_id)["cache_entries"],
    }
