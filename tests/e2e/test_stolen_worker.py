"""The day a worker is stolen (docs/security.md, section 3): what its keys open, and what not.

The thief has the worker's certificate and what its memory held. He reads the shared directory with
docs/examples/formats.py, so that nothing of our code stands between him and the files.
"""

import json
import os
import re
import runpy
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cli.emulation.pki import CertificateAuthority
from processing_fn.adapters.main_worker import GrpcMainWorker
from strongroom.clock import SystemClock
from strongroom.errors import ForbiddenError, StrongroomError
from strongroom.identity import Identity
from strongroom.keyring import Key, Purpose
from strongroom.rpc import tls
from strongroom_client import Client, JsonText
from tests.support.commands import environment
from tests.support.deployment import Deployment
from tests.support.held_identities import live

SECONDS = 40.0
NAME = "stolen"
REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "security.md").read_text()
BY_HAND = runpy.run_path(str(REPOSITORY / "docs" / "examples" / "formats.py"))


@dataclass
class Thief:
    """Who has a worker's identity, and what it was given."""

    deployment: Deployment
    main: GrpcMainWorker
    keys: tuple[Key, ...]
    token: str

    @classmethod
    def of(cls, deployment: Deployment) -> "Thief":
        """Take over a worker that was in service."""
        authority = CertificateAuthority(deployment.root / "pki", SystemClock())
        identity = authority.issue(NAME, [tls.worker_name(NAME)])
        main = GrpcMainWorker(NAME, cls.address(deployment), live(identity))
        given = main.subscribe()
        # Nobody answers at that port: a request that is sent there goes on to another worker.
        main.register(given.token, "127.0.0.1:1")
        return cls(deployment, main, given.keys, given.token)

    @staticmethod
    def address(deployment: Deployment) -> str:
        """Return where workers subscribe."""
        ports = json.loads((deployment.root / "run" / "grpc.ready").read_text())
        return f"127.0.0.1:{ports['subscription_port']}"

    def opens(self, raw: bytes, identity: bytes) -> bytes | None:
        """Return what a blob holds, or None where no key of his opens it."""
        for key in self.keys:
            try:
                return bytes(BY_HAND["open_blob"](raw, identity, key.material)[2])
            except InvalidTag:
                continue
        return None

    def reads_all(self) -> list[bytes]:
        """Return every document on the directory that he can read."""
        blobs = list(self.deployment.shared_dir.rglob("*.json.enc"))
        assert blobs
        found = (self.opens(p.read_bytes(), bytes.fromhex(p.name.partition(".")[0])) for p in blobs)
        return [document for document in found if document is not None]

    def reads_of_control(self) -> list[Path]:
        """Return the files of the Main Worker that he can read."""
        control = self.deployment.shared_dir / "control"
        sealed = list(control.rglob("*.sealed"))
        assert sealed
        return [
            path
            for path in sealed
            if self.opens(
                path.read_bytes(), BY_HAND["control_file_id"](path.parent.name, path.stem)
            )
            is not None
        ]

    def forged_tokens(self) -> Iterator[str]:
        """Yield an administrator's real token, but for its signature: by every key that he has."""
        real = self.deployment.token()
        header, claims = jwt.get_unverified_header(real), unverified(real)
        for key in self.keys:
            signer = Ed25519PrivateKey.from_private_bytes(key.material)
            yield jwt.encode(claims, signer, "EdDSA", header)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment."""
    running = Deployment(tmp_path).start()
    yield running
    assert running.stop() == 0


def test_the_day_a_worker_is_stolen(own: Deployment) -> None:
    """Whoever has a worker's keys can do more than is said, or for longer."""
    with own.client() as client:
        before = write(client, "before")
        thief = Thief.of(own)
        # What the page says that he can: every document of that day, and nothing helps.
        assert before in thief.reads_all()
        copies = {path: path.read_bytes() for path in own.shared_dir.rglob("*.json.enc")}
        what_a_worker_cannot_do(own, thief)
        (held,) = (key.key_id for key in thief.keys if key.purpose == Purpose.DATA)
        enter_the_commands(own, held)
        states = {key.key_id: key.state for key in client.admin.data_keys()}
        assert states[held] == "destroyed"
        assert write(client, "after") not in thief.reads_all()
        assert thief.reads_all() == []
        for ask in (thief.main.subscribe, lambda: thief.main.fetch_keys(thief.token)):
            with pytest.raises(ForbiddenError):
                ask()
        # For clients nothing has changed.
        assert client.get("chatdb", "before").text == before
        # And what he had copied stays his.
        assert before in {
            thief.opens(raw, bytes.fromhex(path.name.partition(".")[0]))
            for path, raw in copies.items()
        }


def what_a_worker_cannot_do(deployment: Deployment, thief: Thief) -> None:
    """Try what no key and no certificate of a worker is for."""
    assert thief.reads_of_control() == []
    raw = (deployment.shared_dir / "control" / "keyring.json").read_bytes()
    for key in thief.keys:
        with pytest.raises(ValueError, match="does not verify"):
            BY_HAND["open_keyring"](raw, key.material)
    url = deployment.facts["http_url"]
    for token in (thief.token, *thief.forged_tokens()):
        bearer = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{url}/entity/chatdb", headers=bearer).status_code == 401
    identity = Identity(
        deployment.root / "pki" / "ca.pem",
        deployment.root / "pki" / f"{NAME}.pem",
        deployment.root / "pki" / f"{NAME}.key",
    )
    another = GrpcMainWorker("worker-1", Thief.address(deployment), live(identity))
    with pytest.raises(StrongroomError):
        another.subscribe()
    another.close()


def unverified(token: str) -> dict[str, Any]:
    """Return the claims of a token."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def write(client: Client, key: str) -> bytes:
    """Put an entity; return its document."""
    document = json.dumps({"chat": [{"type": "user", "text": f"written {key}"}]}).encode()
    client.put("chatdb", key, JsonText(document))
    return document


def enter_the_commands(deployment: Deployment, key_id: str) -> None:
    """Do what the page says is to be done."""
    section = PAGE.partition("\n## 3. ")[2].partition("\n## 4. ")[0]
    commands = "".join(re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))
    for shown, actual in (
        ("http://127.0.0.1:8080", deployment.facts["http_url"]),
        ("/workers/worker-2", f"/workers/{NAME}"),
    ):
        assert shown in commands
        commands = commands.replace(shown, actual)
    done = subprocess.run(  # noqa: S603 - the commands are the page's
        ["/bin/bash", "-euo", "pipefail", "-c", commands],
        cwd=REPOSITORY,
        env={
            **{n: v for n, v in os.environ.items() if not n.startswith("STRONGROOM_")},
            **environment(deployment),
            "TOKEN": deployment.token(),
            "KEY": key_id,
        },
        capture_output=True,
        text=True,
        timeout=2 * SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
