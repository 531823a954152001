"""One look at all shards of all databases, spread over the live workers.

Each worker has one thread here, which takes the next shard when the last one is done: a fast worker
does more, and one that is lost gives its shard back.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from main_api.domain.jobs import Pass
from main_api.domain.registry import WorkerRecord
from main_api.service.workers.ports import Piece, Rewrapping
from strongroom import limits, logs
from strongroom.errors import StrongroomError

_LOOK_S: Final = 0.2
_RETRY_S: Final = 0.5
_log = logs.logger()


class ShardPass:
    """A pass under way; `run` is called once."""

    def __init__(
        self,
        seen: Pass,
        drained: tuple[str, ...],
        workers: Rewrapping,
        live: Callable[[], Sequence[WorkerRecord]],
        *,
        files_per_second: Callable[[], float] = lambda: 0,
    ) -> None:
        """Take how far it has come, what to drain (nothing: count only), and the workers.

        `files_per_second` may change under way.
        """
        self._drained = drained
        self._workers = workers
        self._live = live
        self._rate = files_per_second
        self._at_it: frozenset[str] = frozenset()
        self._mutex = threading.Lock()
        self._seen = seen
        self._todo = deque(seen.todo())
        self._trouble = ""
        self._ended = threading.Event()
        if not self._todo:
            # Its runner was killed after the last shard, and before it went on.
            self._ended.set()
        self._stopped = False

    def run(self, progress: Callable[[Pass, str], None], is_stopping: Callable[[], bool]) -> bool:
        """Look at every shard; tell whether it came to the end.

        Args:
            progress: Called now and then with what was seen of complete shards, and with what is
                in the way; what it raises ends the pass.
            is_stopping: Asked now and then; True ends it early.
        """
        threads: dict[str, threading.Thread] = {}
        try:
            while not self._ended.is_set() and not is_stopping():
                live = self._live()
                # A worker keeps no rate below one file a second: then fewer do it.
                at_it = live[: int(self._rate()) or len(live)]
                self._at_it = frozenset(worker.worker_id for worker in at_it)
                for worker in at_it:
                    thread = threads.get(worker.worker_id)
                    if thread is None or not thread.is_alive():
                        threads[worker.worker_id] = self._start(worker)
                self._ended.wait(_LOOK_S)
                with self._mutex:
                    trouble = self._trouble if live else "no worker can serve now"
                    seen = self._seen
                progress(seen, trouble)
        finally:
            self._stopped = True
            for thread in threads.values():
                thread.join(limits.WRITE_ATTEMPT_SECONDS)
        return self._ended.is_set()

    def _start(self, worker: WorkerRecord) -> threading.Thread:
        thread = threading.Thread(target=self._work, args=(worker,), name="rewrap", daemon=True)
        thread.start()
        return thread

    def _work(self, worker: WorkerRecord) -> None:
        while self._is_wanted(worker) and (shard := self._next()) is not None:
            try:
                seen = self._whole_shard(worker, shard)
            except StrongroomError as error:
                _log.warning("rewrap-failed", worker_id=worker.worker_id, reason=error.detail)
                self._give_back(shard, f"{worker.worker_id}: {error.detail}")
                # It may be lost, or have no room; whoever is live is tried again.
                self._ended.wait(_RETRY_S)
                return
            if seen is None:
                self._give_back(shard, "")
            else:
                self._take(shard, seen)

    def _whole_shard(self, worker: WorkerRecord, shard: int) -> Pass | None:
        seen, cursor = Pass(), ""
        while self._is_wanted(worker):
            rate = self._rate() / max(1, len(self._at_it))
            piece = Piece(shard, self._drained, cursor, rate)
            part, cursor = self._workers.rewrap(worker, piece, limits.REWRAP_CALL_SECONDS)
            seen = seen.plus(part)
            if not cursor:
                return seen
        return None

    def _is_wanted(self, worker: WorkerRecord) -> bool:
        return not self._stopped and worker.worker_id in self._at_it

    def _next(self) -> int | None:
        with self._mutex:
            return self._todo.popleft() if self._todo else None

    def _give_back(self, shard: int, trouble: str) -> None:
        with self._mutex:
            self._todo.append(shard)
            self._trouble = trouble

    def _take(self, shard: int, seen: Pass) -> None:
        with self._mutex:
            self._seen = self._seen.plus(seen).plus(Pass(shards=f"{1 << shard:x}"))
            self._trouble = ""
            if not self._seen.todo():
                self._ended.set()
