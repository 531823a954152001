"""A durable, encrypted write and its read in a bare loop: the floor of what the engine does.

Locked is per entity, in the process and in the file system; written are two files, the second one
without fsync, renamed over the ones before. Nothing is validated, no version is counted, nothing
is read before it is replaced.
"""

import fcntl
import hashlib
import os
import threading
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: TID251 - the floor is it
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

KEY_BYTES: Final = 16
"""A request begins with the entity's key, of as many bytes; the rest is the document."""
_SHARDS: Final = 256
_IV_BYTES: Final = 12
_READ_BYTES_MAX: Final = 64 * 1024


class Store:
    """Files below a directory."""

    def __init__(self, root: Path) -> None:
        """Make the directories."""
        self._root = root
        self._key = os.urandom(32)
        self._mutexes: dict[bytes, threading.Lock] = {}
        self._locks: dict[int, int] = {}
        (root / "locks").mkdir(parents=True)
        for shard in range(_SHARDS):
            (root / f"{shard:02x}").mkdir()
            lock = root / "locks" / f"{shard:02x}"
            self._locks[shard] = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def put(self, request: bytes) -> bytes:
        """Store a document; answer its key."""
        key, document = request[:KEY_BYTES], request[KEY_BYTES:]
        name = hashlib.sha256(key).digest()
        directory = os.open(
            self._root / name[:1].hex(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        )
        try:
            with self._mutexes.setdefault(key, threading.Lock()):
                self._locked(name, document, directory)
        finally:
            os.close(directory)
        return key

    def get(self, key: bytes) -> bytes:
        """Read a document."""
        name = hashlib.sha256(key).digest()
        path = f"{self._root}/{name[:1].hex()}/{name.hex()}"
        # Both files, as whoever must know the second one for the next look at the cache.
        _read(f"{path}.meta")
        sealed = _read(f"{path}.enc")
        return self._cipher(name).decrypt(sealed[:_IV_BYTES], sealed[_IV_BYTES:], name)

    def _locked(self, name: bytes, document: bytes, directory: int) -> None:
        lock = self._locks[name[0]]
        # One byte of the file for each entity of the shard, or nearly.
        place = int.from_bytes(name[1:5], "big")
        fcntl.lockf(lock, fcntl.LOCK_EX, 1, place)
        try:
            iv = os.urandom(_IV_BYTES)
            sealed = iv + self._cipher(name).encrypt(iv, document, name)
            sidecar = b'{"iv": "%s", "bytes": %d}' % (iv.hex().encode(), len(document))
            self._write(f".{name.hex()}.enc", sealed, directory, is_durable=True)
            self._write(f".{name.hex()}.meta", sidecar, directory, is_durable=False)
            _rename(f".{name.hex()}.enc", f"{name.hex()}.enc", directory)
            os.fsync(directory)
            _rename(f".{name.hex()}.meta", f"{name.hex()}.meta", directory)
        finally:
            fcntl.lockf(lock, fcntl.LOCK_UN, 1, place)

    def _cipher(self, name: bytes) -> AESGCM:
        return AESGCM(HKDFExpand(hashes.SHA256(), 32, name).derive(self._key))

    @staticmethod
    def _write(name: str, data: bytes, directory: int, *, is_durable: bool) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(name, flags, 0o600, dir_fd=directory)
        try:
            os.write(file, data)
            if is_durable:
                os.fsync(file)
        finally:
            os.close(file)


def _read(path: str) -> bytes:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, _READ_BYTES_MAX)
    finally:
        os.close(file)


def _rename(old: str, new: str, directory: int) -> None:
    os.rename(old, new, src_dir_fd=directory, dst_dir_fd=directory)  # noqa: TID251 - the floor
