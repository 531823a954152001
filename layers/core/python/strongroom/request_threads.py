"""Threads that serve requests, and how many requests wait for one."""

from concurrent.futures import ThreadPoolExecutor


class RequestThreads(ThreadPoolExecutor):
    """The threads of one server."""

    @property
    def waiting(self) -> int:
        """How many requests wait for a thread."""
        return self._work_queue.qsize()
