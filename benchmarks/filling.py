"""`python -m benchmarks.filling ROOT DATABASE COUNT [FIRST]`: entities for `strongroom up`, fast.

They are what a worker writes, byte for byte but for the time, and verify: only that nothing is
locked, validated or forced to the disk, as nobody has to survive a power cut here. The master key
below ROOT opens the keyring.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from benchmarks import documents
from benchmarks.figure import WrongAnswerError
from benchmarks.ground import Ground
from cli.emulation.master_key import LocalMasterKey
from main_api.adapters.control_store import KeyringFile
from main_api.adapters.keys import providers
from main_api.service.keys.live_keyring import LiveKeyring
from processing_fn.service.session import Lease, open_session
from strongroom import blob, layout, process
from strongroom.clock import SystemClock, rfc3339
from strongroom.crypto import aead
from strongroom.durable import LocalFilesystem
from strongroom.keyring import WORKER_PURPOSES
from tests.support.deployment import Deployment

_LEASE_S: Final = 3_600
_FEW: Final = 2_000
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


def key(number: int) -> str:
    """Return the key of an entity; its document is `documents.document(number)`."""
    return f"user{number:08d}"


def filled(deployment: Deployment, database: str, count: int, first: int = 0) -> None:
    """Fill a database of a deployment, by a process for each core.

    Raises:
        WrongAnswerError: The deployment answers something else.
    """
    cores = len(os.sched_getaffinity(0))
    fillers = [
        subprocess.Popen(  # noqa: S603 - this module
            [
                *(sys.executable, "-m", __name__, str(deployment.root), database),
                *(str(len(share)), str(share.start)),
            ],
            env={**os.environ, process.PARENT_VARIABLE: str(os.getpid())},
        )
        for share in shares(range(first, first + count), cores)
    ]
    try:
        ends = [filler.wait() for filler in fillers]
    finally:
        for filler in fillers:
            filler.kill()
            filler.wait()
    if any(ends):
        raise WrongAnswerError("a database could not be filled")
    with deployment.http() as client:
        for number in (first, first + count // 2, first + count - 1):
            answer = client.get(f"/entity/{database}", params={"key": key(number)})
            if documents.document(number) not in answer.content:
                raise WrongAnswerError(f"{key(number)}: {answer.text}")


def shares(numbers: range, cores: int) -> list[range]:
    """Return which numbers each process takes."""
    # Of a few entities a process's imports take longer than what it does.
    size = -(-len(numbers) // cores) if len(numbers) > _FEW else len(numbers)
    return [numbers[at : at + size] for at in range(0, len(numbers), size)]


def deployment_with(ground: Ground, entities: int) -> Path:
    """Return the place of a deployment with so many entities, stopped; once made it stays."""
    place = ground.scratch / f"filled-{entities}"
    if place.exists():
        return place
    place.mkdir()
    deployment = Deployment(place, ("--workers", "1")).start()
    try:
        filled(deployment, "chatdb", entities)
    finally:
        deployment.stop()
    return place


def main() -> None:
    """Fill."""
    process.die_with_parent()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.filling", description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("database")
    parser.add_argument("count", type=int)
    parser.add_argument("first", type=int, nargs="?", default=0)
    given = parser.parse_args()
    _fill(given.root, given.database, range(given.first, given.first + given.count))


def _fill(root: Path, name: str, numbers: Iterable[int]) -> None:
    clock, paths = SystemClock(), layout.Layout(root / "shared")
    master_key = LocalMasterKey(root, None)
    master_key.start(may_make_key=False)
    keyring_file = KeyringFile(LocalFilesystem(), paths, clock)
    keyring = LiveKeyring(keyring_file, providers.provider(master_key.settings(paths.root), None))
    lease = Lease(clock, clock.boot_s() + _LEASE_S)
    session = open_session(keyring.deployment, "filling", lease, keyring.of(WORKER_PURPOSES))
    database = msgspec.json.decode(paths.database(name).read_bytes())["body"]
    key_id, material = session.data_keys.active()
    now = rfc3339(clock.wall_ms())
    for number in numbers:
        file_id = session.file_id(name, database["incarnation"], key(number))
        header = blob.Header(
            format=blob.FORMAT_VERSION,
            alg=aead.ALGORITHM,
            key_id=key_id,
            iv=blob.fresh_iv(),
            schema_id=database["schema_id"],
            schema_version=1,
            writer_id="filling",
            version=1,
            created_at=now,
            updated_at=now,
        )
        body = blob.Body(key(number), documents.document(number))
        raw = blob.encrypt(header, body, file_id, material)
        shard = paths.shard(name, file_id)
        _write(shard, layout.blob_name(file_id), raw)
        _write(shard, layout.sidecar_name(file_id), blob.sidecar(blob.parse(raw)))


def _write(shard: str, name: str, data: bytes) -> None:
    # By the system's calls: pathlib and a file object take as long as all else that a file takes.
    path = f"{shard}/{name}"
    try:
        file = os.open(path, _NEW)
    except FileNotFoundError:
        Path(shard).mkdir(parents=True, exist_ok=True)
        file = os.open(path, _NEW)
    os.write(file, data)
    os.close(file)


if __name__ == "__main__":
    main()
