"""Putting every file under another data key."""

import os
import time
from pathlib import Path
from typing import Final

import msgspec

from benchmarks import documents
from benchmarks.figure import Figure, Pair, Pairs, WrongAnswerError, at_least
from benchmarks.ground import Ground
from strongroom import blob, keyring
from strongroom.clock import SystemClock
from strongroom.keyring import KeySet, Purpose
from tests.support.engines import AT, Rig

_ENTITIES: Final = 2_000
_SHARDS: Final = 256
_FILE_ID_DIGITS: Final = 64


def _pairs(ground: Ground) -> Pairs:
    count = ground.at_most(_ENTITIES, 300)
    rig = Rig(ground.folder("rewrap"), clock=SystemClock())
    worker = rig.worker()
    for number in range(count):
        worker.put(f"k{number}", documents.document(number))
    while True:
        bare_s = _bare(rig)
        yield Pair(count / _rewrapped(rig, count), count / bare_s)


def _rewrapped(rig: Rig, count: int) -> float:
    """Rotate, and rewrap as a job does; return how long it took, in seconds."""
    old = rig.keys.active(Purpose.DATA).key_id
    rig.keys = keyring.with_active(rig.keys, keyring.new_key(Purpose.DATA, AT))
    worker = rig.worker()
    rewrapper = worker.engine.rewrapper
    began_s = time.perf_counter()
    done = 0
    for shard in range(_SHARDS):
        cursor, is_first = "", True
        while is_first or cursor:
            census = rewrapper.run(shard, cursor, frozenset({old}))
            done, cursor, is_first = done + census.rewrapped, census.cursor, False
    took_s = time.perf_counter() - began_s
    _, document = worker.get("k7")
    if done != count or document != documents.document(7):
        raise WrongAnswerError(f"of {count} entities {done} were rewrapped")
    worker.engine.forget()
    rig.close()
    return took_s


def _bare(rig: Rig) -> float:
    """Encrypt every blob anew, under its own key; return how long it took, in seconds.

    Nothing is locked, checked or kept beside it; the sidecars follow outside the time.
    """
    keys = KeySet(rig.keys.of(frozenset({Purpose.DATA})))
    paths = sorted((rig.root / "files").glob("*/*/*.json.enc"))
    began_s = time.perf_counter()
    for path in paths:
        _bare_rewrap(path, keys)
    took_s = time.perf_counter() - began_s
    for path in paths:
        sidecar = path.with_name(f"{path.name[:_FILE_ID_DIGITS]}.meta.json")
        sidecar.write_bytes(blob.sidecar(blob.parse(path.read_bytes())))
    return took_s


def _bare_rewrap(path: Path, keys: KeySet) -> None:
    file_id = bytes.fromhex(path.name[:_FILE_ID_DIGITS])
    parsed = blob.parse(path.read_bytes())
    body = blob.decrypt(parsed, file_id, keys)
    header = msgspec.structs.replace(parsed.header, iv=blob.fresh_iv())
    raw = blob.encrypt(header, body, file_id, keys.material(header.key_id))
    temporary = path.with_name(".tmp-bare")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(file, raw)
    os.fsync(file)
    os.close(file)
    temporary.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


FIGURES: Final = (
    Figure(
        name="rewrap",
        measures="entities put under another key, by one worker",
        floor="read, decrypt, encrypt, durable write, in a loop",
        unit="/s",
        goal=at_least(0.8),
        pairs=_pairs,
        rounds=5,
    ),
)
