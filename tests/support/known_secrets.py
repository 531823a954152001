"""The secrets of a running deployment, by name: drawn by the test, given to it, or dug out."""

import json
import secrets
from itertools import count

import pytest

from cli.emulation.kms import EmulatedKms
from main_api.adapters.keys.kms import KmsKeyProvider
from processing_fn.adapters.main_worker import GrpcMainWorker
from strongroom import base64text, blob, keyring
from strongroom.crypto import aead
from strongroom.identity import Identity
from tests.support.deployment import Deployment
from tests.support.held_identities import live

# The labels of design.md section 3, written out: a test has to know the derived keys as well.
_PER_FILE = b"strongroom/file/v1"
_KEYRING_MAC = b"strongroom/keyring-mac/v1"


class KnownSecrets:
    """What nobody may find. Safe under threads."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.by_name: dict[str, bytes] = {}
        self._numbers = count()

    def word(self, kind: str) -> str:
        """Return a new word of 32 letters."""
        word = secrets.token_hex(16)
        self.add(f"{kind} {next(self._numbers)}", word)
        return word

    def add(self, name: str, secret: str | bytes) -> None:
        """Take a secret that somebody else has drawn."""
        self.by_name[name] = secret.encode() if isinstance(secret, str) else secret

    def add_token(self, name: str, token: str) -> None:
        """Take a token: its claims and its signature are looked for by themselves."""
        _, claims, signature = token.split(".")
        self.by_name[f"{name}, claims"] = claims.encode()
        self.by_name[f"{name}, signature"] = signature.encode()

    def dig(self, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
        """Open the keyring, as a Main Worker does, and derive what is derived of its keys."""
        kept = deployment.root / "kms" / "master-key.json"
        self.add("master key", base64text.decode(json.loads(kept.read_text())["material"]))
        kms = EmulatedKms(kept)
        kms.start()
        try:
            for name, value in kms.environment().items():
                monkeypatch.setenv(name, value)
            raw = (deployment.shared_dir / "control" / "keyring.json").read_bytes()
            opened, root, _ = keyring.decode(raw, KmsKeyProvider(kms.key_arn).unwrap)
        finally:
            kms.stop()
        self.add("root", root)
        self.add("key of the keyring's MAC", aead.subkey(root, _KEYRING_MAC, b""))
        # Of a key that was destroyed there is nothing left; it is known from before.
        keys = {key.key_id: key.material for key in opened.keys if key.material}
        self.by_name |= {f"key of the keyring {key_id}": key for key_id, key in keys.items()}
        for path in (deployment.shared_dir / "files").rglob("*.json.enc"):
            key_id = blob.parse(path.read_bytes()).header.key_id
            file_id = bytes.fromhex(path.name.partition(".")[0])
            self.add(
                f"key of the file {path.name} {key_id}",
                aead.subkey(keys[key_id], _PER_FILE, file_id),
            )

    def subscribe(self, deployment: Deployment, worker_id: str, identity: Identity) -> None:
        """Be given keys and a token, as a worker is."""
        ports = json.loads((deployment.root / "run" / "grpc.ready").read_text())
        main = GrpcMainWorker(worker_id, f"127.0.0.1:{ports['subscription_port']}", live(identity))
        subscription = main.subscribe()
        self.add_token("token of a worker", subscription.token)
        self.by_name |= {f"vended {key.key_id}": key.material for key in subscription.keys}
        main.close()
