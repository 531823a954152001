"""A deployment whose processes are of two versions, asked for everything through both of them.

    python -m tests.support.mixed_versions TREE NAME [NAME ...]

TREE is the source tree of another version, NAME the processes that run out of it: `rest`, `grpc`,
`worker-1`, `worker-2`. They run in the environment of this version, whose dependencies they share.
First all of them run, then each is updated in its turn, then each is rolled back. Exit code 1:
something was not as it should be. It stands outside of the suite, which has one version.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import grpc
import httpx

from cli.emulation import launching
from cli.emulation.deployment import LocalDeployment, Options
from strongroom.process import PARENT_VARIABLE
from strongroom_pb.v1 import auth_pb2, auth_pb2_grpc, entity_pb2, entity_pb2_grpc
from tests.support.deployment import CHAT, wait_until

KEYS = [f"chat {number}" for number in range(60)]
SECONDS = 30.0
WORKERS = 2


class MixedDeployment(LocalDeployment):
    """A deployment of this version, some of whose processes run out of another tree."""

    def __init__(self, root: Path, tree: Path, of_tree: frozenset[str]) -> None:
        """Start nothing yet."""
        self._tree = tree
        self._of_tree = of_tree
        options = Options(root=root, http="127.0.0.1:0", grpc="127.0.0.1:0")
        super().__init__(options, self._started)

    def _started(self, order: launching.Order) -> launching.Running:
        if order.name not in self._of_tree:
            return launching.afresh(order)
        path = f"{self._tree}:{self._tree}/layers/core/python"
        told = {**order.environment, "PYTHONPATH": path, PARENT_VARIABLE: str(os.getpid())}
        with Path(order.log_file).open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the project's own module
                [sys.executable, "-m", order.module],
                env=told,
                cwd=self._tree,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def sources(self) -> dict[str, str]:
        """Return which tree every process runs out of, as its mapped files tell."""
        pids = self.facts()["pids"]
        named = {"rest": pids["rest"], "grpc": pids["grpc"], **pids["workers"]}
        return {name: str(Path(f"/proc/{pid}/cwd").readlink()) for name, pid in named.items()}

    def restart(self, name: str, *, of_tree: bool) -> None:
        """Stop a process in order and start it out of a tree."""
        self._of_tree = self._of_tree | {name} if of_tree else self._of_tree - {name}
        child = self._children[name]
        child.terminate()
        child.wait()
        child.start()
        child.wait_until_ready(SECONDS)


def client(deployment: MixedDeployment) -> httpx.Client:
    """Return an administrator's client of the REST face."""
    answer = httpx.post(
        f"{deployment.http_url}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(deployment.credentials.client_id, deployment.credentials.client_secret),
    )
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    return httpx.Client(base_url=deployment.http_url, headers=bearer, timeout=SECONDS)


def everything(deployment: MixedDeployment, expected: dict[str, int]) -> None:
    """Do what clients and administrators do, over both faces; `expected` counts versions."""
    with client(deployment) as http:
        for key in KEYS:
            put = http.put("/entity/chatdb", json={key: {**CHAT, "n": expected[key]}})
            _is(put.status_code in {200, 201}, put.text)
            expected[key] += 1
            got = http.get("/entity/chatdb", params={"key": key})
            _is(got.headers["ETag"] == f'"{expected[key]}"', f"{key}: {got.headers['ETag']}")
            _is(got.json()[key]["n"] == expected[key] - 1, got.text)
        merge = {"Content-Type": "application/merge-patch+json"}
        for key in KEYS[:10]:
            patched = http.patch("/entity/chatdb", json={key: {"patched": True}}, headers=merge)
            _is(patched.is_success, patched.text)
            expected[key] += 1
        many = http.get("/entity/chatdb", params=[("key", key) for key in KEYS])
        _is(set(many.json()) == set(KEYS), "a read of many")
        found = http.post("/entity/chatdb/query", json={"filter": "patched", "limit": 100})
        _is(len(found.json()["items"]) == 10, found.text)
        listed = http.get("/entity/chatdb", params={"limit": 100})
        _is(set(listed.json()) == set(KEYS), "a page")
        rotated = http.post("/keys/rotate")
        _is(rotated.status_code == 201, rotated.text)
        job = http.post("/keys/rewrap").json()["job_id"]

        def is_done() -> bool:
            return bool(http.get(f"/jobs/{job}").json()["state"] == "done")

        _is(wait_until(is_done, SECONDS), f"the rewrap: {http.get(f'/jobs/{job}').text}")
        shown = http.post("/verify", json={})
        _is(shown.is_success and shown.json()["findings"] == [], shown.text)
    _over_grpc(deployment, expected)


def _over_grpc(deployment: MixedDeployment, expected: dict[str, int]) -> None:
    roots = grpc.ssl_channel_credentials(root_certificates=deployment.ca_file.read_bytes())
    with grpc.secure_channel(deployment.grpc_address, roots) as channel:
        told = deployment.credentials
        request = auth_pb2.IssueTokenRequest(
            client_id=told.client_id, client_secret=told.client_secret
        )
        token = auth_pb2_grpc.AuthServiceStub(channel).IssueToken(request).access_token
        metadata = (("authorization", f"Bearer {token}"),)
        stub = entity_pb2_grpc.EntityServiceStub(channel)
        for key in KEYS:
            asked = entity_pb2.GetEntityRequest(database="chatdb", key=key)
            found = stub.GetEntity(asked, metadata=metadata, timeout=SECONDS)
            _is(found.metadata.version == expected[key], f"{key} over gRPC")


def _writers(deployment: MixedDeployment) -> Counter[str]:
    sidecars = (deployment.shared_dir / "files").rglob("*.meta.json")
    return Counter(json.loads(one.read_bytes())["writer_id"] for one in sidecars)


def _is(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - a condition
    if not holds:
        raise SystemExit(f"not as it should be: {otherwise}")


def say(line: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(tree: Path, names: list[str]) -> None:
    """Run it: mixed, then each mixed process updated in its turn, then rolled back."""
    expected = dict.fromkeys(KEYS, 0)
    with tempfile.TemporaryDirectory() as directory:
        deployment = MixedDeployment(Path(directory), tree.resolve(), frozenset(names))
        deployment.start()
        try:
            steps: list[tuple[str, bool]] = [(name, False) for name in names]
            _step(deployment, "mixed", expected)
            for name, of_tree in [*steps, *((name, True) for name, _ in reversed(steps))]:
                deployment.restart(name, of_tree=of_tree)
                _step(deployment, f"{name} {'rolled back' if of_tree else 'updated'}", expected)
        finally:
            deployment.stop()


def _step(deployment: MixedDeployment, what: str, expected: dict[str, int]) -> None:
    _is(wait_until(lambda: _serves(deployment), SECONDS), f"{what}: it does not come to serve")
    say(f"{what}: {deployment.sources()}")
    everything(deployment, expected)
    say(f"    all as expected; written by {dict(_writers(deployment))}")


def _serves(deployment: MixedDeployment) -> bool:
    """Tell whether all have found each other; without its gRPC face a deployment has no workers."""
    try:
        with client(deployment) as http:
            asked = [http.get("/entity/chatdb", params={"key": key}).status_code for key in KEYS]
            return (
                set(asked) <= {200, 404} and len(http.get("/workers").json()["workers"]) == WORKERS
            )
    except (httpx.TransportError, KeyError):
        return False


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
