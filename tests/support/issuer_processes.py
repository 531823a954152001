"""An issuer that runs beside a test, and is told by it what to do (`tests.support.oidc_issuer`)."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

Json = Any
ROOT = Path(__file__).parent.parent.parent
SECONDS = 30.0


class IssuerProcess:
    """A real issuer, over HTTP, or over HTTPS where it has a certificate."""

    def __init__(self, *certificate_and_key: Path) -> None:
        """Start it; it has one key, `first`, of ES256."""
        self._process = subprocess.Popen(  # noqa: S603 - the project's own module
            [sys.executable, "-m", "tests.support.oidc_issuer", *map(str, certificate_and_key)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.issuer: str = self._line()
        self.add_key("first")

    def add_key(self, kid: str, algorithm: str = "ES256") -> None:
        """Have it make a key, and sign with that from now on."""
        self._tell({"do": "add-key", "kid": kid, "algorithm": algorithm})

    def drop_key(self, kid: str) -> None:
        """Have it publish a key no more."""
        self._tell({"do": "drop-key", "kid": kid})

    def sign(self, claims: dict[str, Json], kid: str = "", **header: Json) -> str:
        """Return a token, by the newest key unless one is named."""
        signed: str = self._tell({"do": "sign", "claims": claims, "header": header, "kid": kid})
        return signed

    def answer(self, what: str, how: str, **members: Json) -> None:
        """Have it answer in some way from now on."""
        self._tell({"do": "answer", "what": what, "how": how, **members})

    def asked(self) -> int:
        """Return how often it was asked for its keys."""
        asked: dict[str, int] = self._tell({"do": "asked"})
        return asked.get("/tenant/keys", 0)

    def stop(self) -> None:
        """End it, as if it had died."""
        self._process.kill()
        self._process.wait(SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _tell(self, order: dict[str, Json]) -> Json:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> Json:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())
