"""The streams by which workers tell each other of commits, one to every gRPC Main Worker."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import grpc

from processing_fn.service.coherence import Unsent
from strongroom import logs
from strongroom.errors import StrongroomError
from strongroom.identity import Held, LiveIdentity
from strongroom.rpc import status, tls
from strongroom_pb.v1 import subscription_pb2 as pb
from strongroom_pb.v1 import subscription_pb2_grpc

_RETRY_S: Final = 1.0
_LOOK_S: Final = 0.5
_log = logs.logger()


class CommitLinks:
    """Holds a stream to each Main Worker of which the last renewal told."""

    def __init__(
        self,
        worker_id: str,
        identity: LiveIdentity,
        unsent: Unsent,
        invalidate: Callable[[bytes, int], None],
    ) -> None:
        """Take the worker's identity, what it has to tell, and who hears of others' commits."""
        self._worker_id = worker_id
        self._identity = identity
        self._unsent = unsent
        self._invalidate = invalidate
        self._links: dict[str, _Link] = {}
        self._token = ""

    def follow(self, addresses: tuple[str, ...], token: str) -> None:
        """Hold a stream to each of these addresses and to no other; with the newest token."""
        self._token = token
        for gone in self._links.keys() - set(addresses):
            self._links.pop(gone).stop()
        for address in addresses:
            if address not in self._links:
                self._links[address] = self._link(address)

    def close(self) -> None:
        """End all of them."""
        self.follow((), "")

    def _link(self, address: str) -> "_Link":
        return _Link(
            address,
            self._worker_id,
            self._unsent,
            self._invalidate,
            lambda: (self._identity.current(), self._token),
        )


class _Link:
    """One stream, made anew when it ends, in a thread of its own."""

    def __init__(
        self,
        address: str,
        worker_id: str,
        unsent: Unsent,
        invalidate: Callable[[bytes, int], None],
        proof: Callable[[], tuple[Held, str]],
    ) -> None:
        self._address = address
        self._worker_id = worker_id
        self._unsent = unsent
        self._invalidate = invalidate
        self._proof = proof
        self._stopping = threading.Event()
        self._call: Any = None
        threading.Thread(target=self._run, name="commits", daemon=True).start()

    def stop(self) -> None:
        """End it."""
        self._stopping.set()
        if self._call is not None:
            self._call.cancel()

    def _run(self) -> None:
        trouble = ""
        while not self._stopping.is_set():
            said = ""
            try:
                self._share()
            except grpc.RpcError as error:
                said = status.from_rpc_error(error).code
            except StrongroomError as error:
                said = error.code
            if said and said != trouble and not self._stopping.is_set():
                _log.warning("commits-not-shared", address=self._address, code=said)
            trouble = said
            self._stopping.wait(_RETRY_S)

    def _share(self) -> None:
        held, token = self._proof()
        ended = threading.Event()
        with tls.channel(held, self._address, tls.MAIN_NAME) as channel:
            stub = subscription_pb2_grpc.SubscriptionServiceStub(channel)
            metadata = (("authorization", f"Bearer {token}"),)
            self._call = stub.ShareCommits(self._told(ended), metadata=metadata)
            try:
                for message in self._call:
                    for commit in message.commits:
                        self._invalidate(commit.file_id, commit.version)
            finally:
                ended.set()

    def _told(self, ended: threading.Event) -> Iterator[pb.Commits]:
        """Yield what this worker commits; several links share the work."""
        yield pb.Commits(worker_id=self._worker_id)
        while not ended.is_set():
            commits = self._unsent.take(_LOOK_S)
            if ended.is_set():
                self._unsent.give_back(commits)
            elif commits:
                yield pb.Commits(
                    commits=[pb.Commit(file_id=c.file_id, version=c.version) for c in commits]
                )
