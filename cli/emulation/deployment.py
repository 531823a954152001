"""A whole deployment below one directory: what `strongroom up` runs.

<root>/shared/     the shared directory (docs/design.md, section 3)
<root>/kms/        the master key, of the emulated KMS or by itself
<root>/pki/        certificates
<root>/run/        logs and ready files of the processes
<root>/admin.json  the administrator's credentials; admin.curl: the same for `curl -K`
"""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from cli import operator
from cli.emulation import launching
from cli.emulation.claim import claim
from cli.emulation.launching import Launch
from cli.emulation.master_key import LocalMasterKey, LocalProvider
from cli.emulation.pki import CertificateAuthority
from cli.emulation.processes import Child
from cli.emulation.seed import seed
from main_api import bootstrap
from main_api.settings import Settings
from strongroom import durable, limits
from strongroom.clock import SystemClock
from strongroom.errors import ConflictError, UnauthenticatedError
from strongroom.identity import Identity
from strongroom.layout import Layout
from strongroom.metrics import listener
from strongroom.rpc import tls

_READY_S: Final = 30.0
_PRIVATE: Final = 0o700
_LOOPBACK: Final = ["localhost", "127.0.0.1", "::1"]


@dataclass(frozen=True, slots=True)
class Options:
    """What `strongroom up` was told; port 0 picks a free one."""

    root: Path = Path(".local")
    http: str = "127.0.0.1:8080"
    grpc: str = "127.0.0.1:50051"
    workers: int = 2
    https: bool = False
    key_provider: LocalProvider | None = None
    recovery_public_key: Path | None = None
    worker_environment: dict[str, str] = field(default_factory=dict)


class Credentials(msgspec.Struct, frozen=True):
    """The administrator's."""

    client_id: str
    client_secret: str


class LocalDeployment:
    """Starts, watches and stops the processes of one deployment."""

    def __init__(self, options: Options, launch: Launch = launching.afresh) -> None:
        """Start nothing yet; `launch` is how processes will be."""
        self._options = options
        self._launch = launch
        self._root = options.root.resolve()
        self._clock = SystemClock()
        self._master_key = LocalMasterKey(self._root, options.key_provider)
        self._children: dict[str, Child] = {}
        self._coming_up: set[str] = set()
        self._http_port = 0
        self._grpc_port = 0
        self._subscription_port = 0
        self._lock: IO[str] | None = None
        self.credentials = Credentials("", "")

    @property
    def shared_dir(self) -> Path:
        """The shared directory."""
        return self._root / "shared"

    @property
    def layout(self) -> Layout:
        """The paths below the shared directory."""
        return Layout(self.shared_dir)

    @property
    def http_url(self) -> str:
        """Where REST is served."""
        host = self._options.http.rpartition(":")[0]
        return f"{'https' if self._options.https else 'http'}://{host}:{self._http_port}"

    @property
    def grpc_address(self) -> str:
        """Where gRPC is served to clients."""
        return f"{self._options.grpc.rpartition(':')[0]}:{self._grpc_port}"

    @property
    def subscription_address(self) -> str:
        """Where Processing Workers subscribe."""
        return f"127.0.0.1:{self._subscription_port}"

    @property
    def ca_file(self) -> Path:
        """The certificate authority that clients trust."""
        return self._root / "pki" / "ca.pem"

    @property
    def admin_curl_file(self) -> Path:
        """The administrator's credentials as a configuration file of curl."""
        return self._root / "admin.curl"

    @property
    def _admin_file(self) -> Path:
        return self._root / "admin.json"

    @property
    def worker_names(self) -> list[str]:
        """The workers' ids."""
        return [f"worker-{number}" for number in range(1, self._options.workers + 1)]

    def start(self) -> None:
        """Bring everything up and wait until it serves.

        Raises:
            UnavailableError: A part does not start; the detail says which and why.
            ConflictError: Another process runs a deployment below this root, or a restore into it
                has not ended.
            OSError: The disk refuses.
        """
        self._claim_root()
        if self.layout.restoring().exists():
            raise ConflictError(
                f"a restore into {self.shared_dir} has not ended: go on with it (strongroom"
                " restore with the same backup), then start"
            )
        self._master_key.start(may_make_key=not self.layout.keyring().exists())
        if self._options.recovery_public_key is not None:
            named = str(self._options.recovery_public_key.absolute())
            os.environ["STRONGROOM_RECOVERY_PUBLIC_KEY_FILE"] = named
        authority = CertificateAuthority(self._root / "pki", self._clock)
        main_identity = authority.issue("main", [tls.MAIN_NAME])
        hosts = [a.rpartition(":")[0].strip("[]") for a in (self._options.http, self._options.grpc)]
        server_identity = authority.issue("server", list(dict.fromkeys([*_LOOPBACK, *hosts])))
        revoked = self._provision(main_identity)
        self._start_main(main_identity, server_identity)
        for name in self.worker_names:
            identity = authority.issue(name, [tls.worker_name(name)])
            self._add(name, "processing_fn", self._worker_environment(name, identity))
        # One that is revoked is refused until it is reinstated, which takes a running deployment.
        for name in self.worker_names:
            if name not in revoked:
                self._children[name].wait_until_ready(_READY_S)

    def watch(self) -> bool:
        """Restart what has died; tell whether a restarted process has come to serve.

        It waits for none of them: while one comes up, another one may die.
        """
        self._coming_up |= {n for n, child in self._children.items() if child.keep_alive()}
        arrived = {name for name in self._coming_up if self._children[name].announced()}
        self._coming_up -= arrived
        return bool(arrived)

    def stop(self) -> None:
        """End the workers, then the Main Worker, then an emulated KMS."""
        workers = [self._children[n] for n in self.worker_names if n in self._children]
        main = [child for name, child in self._children.items() if name in {"rest", "grpc"}]
        for group in (workers, main):
            for child in group:
                child.terminate()
            for child in group:
                child.wait()
        self._master_key.stop()
        if self._lock is not None:
            self._lock.close()

    def facts(self) -> dict[str, Any]:
        """Return what stands in the ready file of `strongroom up`."""
        return {
            "http_url": self.http_url,
            "grpc_address": self.grpc_address,
            "grpc_ca_file": str(self.ca_file),
            "shared_dir": str(self.shared_dir),
            "client_id": self.credentials.client_id,
            "client_secret": self.credentials.client_secret,
            "metrics_urls": self._metrics_urls(),
            "pids": {
                "up": os.getpid(),
                "rest": self._children["rest"].pid,
                "grpc": self._children["grpc"].pid,
                "workers": {name: self._children[name].pid for name in self.worker_names},
            },
        }

    def _metrics_urls(self) -> dict[str, Any]:
        """Return where each process tells its metrics, as far as it has come to serve."""
        told = {name: child.announced() or {} for name, child in self._children.items()}
        urls = {name: facts.get("metrics_url", "") for name, facts in told.items()}
        return {
            "rest": f"{self.http_url}/metrics",
            "grpc": urls["grpc"],
            "workers": {name: urls[name] for name in self.worker_names},
        }

    def main_settings(self) -> Settings:
        """Return the settings of a Main Worker of this deployment."""
        return Settings(
            self.shared_dir, self._master_key.settings(self.shared_dir), self.identity("main")
        )

    def identity(self, name: str) -> Identity:
        """Return what a process of this deployment presents; `name` is "main" or a worker's id."""
        pki = self._root / "pki"
        return Identity(self.ca_file, pki / f"{name}.pem", pki / f"{name}.key")

    def _claim_root(self) -> None:
        for directory in (self._root, self.shared_dir, self._root / "run"):
            directory.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        self._lock = claim(self._root)

    def _settings(self, identity: Identity) -> Settings:
        return Settings(self.shared_dir, self._master_key.settings(self.shared_dir), identity)

    def _provision(self, identity: Identity) -> frozenset[str]:
        """Make what a deployment begins with; return the workers that are revoked."""
        configured = self._settings(identity)
        if not self.layout.keyring().exists():
            bootstrap.create_deployment(configured)
        main = bootstrap.build(configured)
        try:
            if not self._admin_file.exists():
                # Later a missing file is a loss, and not for this command to make up for.
                with main.audit.acting("seed", **operator.facts()):
                    seed(main.provisioning)
            self.credentials = self._administrator(main)
        finally:
            main.audit.close()
        return main.subscriptions.revoked_workers()

    def _administrator(self, main: bootstrap.Main) -> Credentials:
        filesystem, path = durable.LocalFilesystem(), self._admin_file
        raw = durable.read_file(filesystem, str(path), limits.CONFIG_FILE_BYTES_MAX)
        if raw is not None:
            try:
                kept = msgspec.json.decode(raw, type=Credentials)
            except msgspec.MsgspecError as error:
                raise ConflictError(
                    f"{path} cannot be read; remove it to get new credentials"
                ) from error
            # They are of no use where somebody has removed the shared directory.
            with suppress(UnauthenticatedError):
                main.authorization.issue_token(kept.client_id, kept.client_secret, "")
                return kept
        with main.audit.acting("put_client", client_id="admin", **operator.facts()):
            secret = main.provisioning.put_administrator("admin")
        made = Credentials("admin", secret)
        curl = f'user = "{made.client_id}:{made.client_secret}"\n'
        durable.replace_file(filesystem, self.admin_curl_file, curl.encode())
        durable.replace_file(filesystem, path, msgspec.json.encode(made))
        return made

    def _start_main(self, main: Identity, server: Identity) -> None:
        environment = self._environment(main)
        served = {
            "STRONGROOM_SERVER_CERTIFICATE_FILE": str(server.certificate_file),
            "STRONGROOM_SERVER_KEY_FILE": str(server.key_file),
        }
        rpc = {
            "STRONGROOM_GRPC_LISTEN": self._options.grpc,
            "STRONGROOM_SUBSCRIPTION_LISTEN": "127.0.0.1:0",
            "STRONGROOM_CA_KEY_FILE": str(self._root / "pki" / "ca.key"),
        }
        grpc = self._add("grpc", "main_api.rpc", {**environment, **served, **rpc})
        rest = self._add(
            "rest",
            "main_api.rest",
            {
                **environment,
                **(served if self._options.https else {}),
                "STRONGROOM_HTTP_LISTEN": self._options.http,
            },
        )
        ports = grpc.wait_until_ready(_READY_S)
        self._grpc_port, self._subscription_port = ports["client_port"], ports["subscription_port"]
        self._http_port = rest.wait_until_ready(_READY_S)["port"]
        rest.wait_until_connectable(
            self._options.http.rpartition(":")[0], self._http_port, _READY_S
        )
        # A restarted process has to be found where the first one was.
        grpc.environment["STRONGROOM_GRPC_LISTEN"] = self.grpc_address
        grpc.environment["STRONGROOM_SUBSCRIPTION_LISTEN"] = self.subscription_address
        http_host = self._options.http.rpartition(":")[0]
        rest.environment["STRONGROOM_HTTP_LISTEN"] = f"{http_host}:{self._http_port}"

    def _worker_environment(self, name: str, identity: Identity) -> dict[str, str]:
        return {
            **self._environment(identity),
            "STRONGROOM_WORKER_ID": name,
            "STRONGROOM_MAIN_ADDRESS": self.subscription_address,
            **self._options.worker_environment,
        }

    def _environment(self, identity: Identity) -> dict[str, str]:
        return {
            **os.environ,
            "STRONGROOM_SHARED_DIR": str(self.shared_dir),
            "STRONGROOM_CA_FILE": str(identity.ca_file),
            "STRONGROOM_CERTIFICATE_FILE": str(identity.certificate_file),
            "STRONGROOM_KEY_FILE": str(identity.key_file),
            listener.VARIABLE: "127.0.0.1:0",
        }

    def _add(self, name: str, module: str, environment: dict[str, str]) -> Child:
        child = Child(name, module, environment, self._root / "run", self._clock, self._launch)
        self._children[name] = child
        child.start()
        return child
