"""The gRPC face of a Main Worker, really served: two ports, mutual TLS, an own event loop."""

import asyncio
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import grpc

from cli.emulation.pki import CertificateAuthority
from main_api.bootstrap import Main
from main_api.rpc import server
from main_api.settings import RpcSettings
from strongroom.clock import SystemClock
from strongroom.identity import Identity
from strongroom.rpc import tls
from tests.support.held_identities import live

SECONDS = 30.0
_LOOPBACK = ["localhost", "127.0.0.1"]


@dataclass(frozen=True)
class Pki:
    """A certificate authority and what it has issued; `foreign` is another deployment's."""

    ca_file: Path
    main: Identity
    server: Identity
    workers: dict[str, Identity]

    @classmethod
    def make(cls, directory: Path, worker_ids: Iterable[str] = ()) -> "Pki":
        """Make an authority and issue certificates."""
        authority = CertificateAuthority(directory, SystemClock())
        return cls(
            ca_file=authority.certificate_file,
            main=authority.issue("main", [tls.MAIN_NAME]),
            server=authority.issue("server", _LOOPBACK),
            workers={w: authority.issue(w, [tls.worker_name(w)]) for w in worker_ids},
        )

    def client_channel(self, address: str) -> grpc.Channel:
        """Return a channel as a client has it: it trusts the authority, and shows nothing."""
        roots = grpc.ssl_channel_credentials(root_certificates=self.ca_file.read_bytes())
        # As `strongroom_client` has it: a message may be larger than what gRPC takes by itself.
        return grpc.secure_channel(address, roots, [("grpc.max_receive_message_length", -1)])


class ServedMain:
    """A Main whose gRPC face is served until `stop`."""

    def __init__(
        self, main: Main, pki: Pki, subscription_port: int = 0, *, patience_s: float | None = None
    ) -> None:
        """Serve on ports of the loopback, free ones where none is named.

        With `patience_s` messages are waited for as long as that, instead of as the limits say.
        """
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="grpc-face")
        self._thread.start()
        configured = RpcSettings(
            client_listen="127.0.0.1:0",
            subscription_listen=f"127.0.0.1:{subscription_port}",
            advertise_host="127.0.0.1",
            server_identity=pki.server,
            ready_file="",
        )
        if patience_s is not None:
            configured = replace(configured, receive_wait_s=patience_s, body_s=patience_s)
        starting = asyncio.run_coroutine_threadsafe(
            server.start(main, configured, live(pki.main)), self._loop
        )
        self._running = starting.result(SECONDS)
        self.clients = f"127.0.0.1:{self._running.client_port}"
        self.subscriptions = f"127.0.0.1:{self._running.subscription_port}"

    def end(self) -> None:
        """Begin to stop, and return at once."""
        asyncio.run_coroutine_threadsafe(self._running.readiness.end(), self._loop).result(SECONDS)

    def stop(self) -> None:
        """Stop serving and end the loop."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()

    async def _stop(self) -> None:
        """Stop the servers, and let what grpcio still has at hand come to its end."""
        await self._running.stop()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(left, timeout=SECONDS) if left else None
