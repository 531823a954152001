"""An emulated AWS KMS: moto's, served on the loopback, with a master key that outlives it.

moto keeps its keys in memory, so the master key's material is kept in a file of the emulation, mode
0600, and put back at each start. It stands in for what AWS keeps in hardware: whoever can read that
file, or reach the port, can open the keyring. Real deployments use AWS KMS.
"""

import base64
import logging
import os
from pathlib import Path
from typing import Final

import msgspec
from moto.kms.models import kms_backends
from moto.server import ThreadedMotoServer

from strongroom import durable, limits
from strongroom.errors import ConflictError

_ACCOUNT: Final = "123456789012"
REGION: Final = "us-east-1"


class _KeptKey(msgspec.Struct, frozen=True):
    key_id: str
    material: str


class EmulatedKms:
    """One master key behind an HTTP endpoint."""

    def __init__(self, kept_key_file: Path) -> None:
        """Take the file that holds the master key, or will hold it."""
        self._file = kept_key_file
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self.key_arn = ""
        self.endpoint = ""

    def start(self) -> None:
        """Serve the kept master key, a new one the first time.

        Raises:
            ConflictError: The kept key cannot be read.
            OSError: The disk refuses.
        """
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        backend = kms_backends[_ACCOUNT][REGION]
        key = backend.create_key(None, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", "Strongroom", None)
        del backend.keys[key.id]
        kept = self._read()
        if kept is None:
            kept = _KeptKey(key.id, base64.b64encode(key.key_material).decode())
            durable.replace_file(durable.LocalFilesystem(), self._file, msgspec.json.encode(kept))
        key.id, key.key_material = kept.key_id, base64.b64decode(kept.material)
        key.arn = f"arn:aws:kms:{REGION}:{_ACCOUNT}:key/{kept.key_id}"
        backend.keys[key.id] = key
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.key_arn, self.endpoint = key.arn, f"http://{host}:{port}"

    def stop(self) -> None:
        """Stop serving."""
        self._server.stop()

    def environment(self) -> dict[str, str]:
        """Return the variables that lead boto3 here and nowhere else."""
        return {
            "AWS_ENDPOINT_URL_KMS": self.endpoint,
            "AWS_ACCESS_KEY_ID": "emulated",
            "AWS_SECRET_ACCESS_KEY": "emulated",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            # boto3 must not look for the loopback behind a proxy.
            "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1,localhost"])),
            "no_proxy": ",".join(filter(None, [os.environ.get("no_proxy"), "127.0.0.1,localhost"])),
            "STRONGROOM_KMS_KEY_ARN": self.key_arn,
        }

    def _read(self) -> _KeptKey | None:
        raw = durable.read_file(
            durable.LocalFilesystem(), str(self._file), limits.CONFIG_FILE_BYTES_MAX
        )
        try:
            return None if raw is None else msgspec.json.decode(raw, type=_KeptKey)
        except msgspec.MsgspecError as error:
            raise ConflictError(f"{self._file} cannot be read; restore it from a backup") from error
