"""Secrets of AWS Secrets Manager, and the files that a process makes of them at its start.

Where a task or a Lambda has nobody who would copy files to it, settings name secrets instead. Each
is a JSON object of texts. The files lie where no other task sees them, for their owner alone; from
then on they are followed and renewed as any others (`strongroom.identity`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import botocore.session
import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from strongroom import durable
from strongroom.errors import UnavailableError

_CONNECT_S: Final = 2
_READ_S: Final = 5
_ATTEMPTS: Final = 3
_PRIVATE: Final = 0o700


class SecretsManager:
    """Reads and writes them."""

    def __init__(self) -> None:
        """Make a client; nothing is called yet."""
        # botocore makes its methods of the service's model.
        self._client: Any = botocore.session.Session().create_client(
            "secretsmanager",
            config=Config(
                connect_timeout=_CONNECT_S,
                read_timeout=_READ_S,
                retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            ),
        )

    def read(self, arn: str) -> dict[str, str]:
        """Return what is in a secret.

        Raises:
            UnavailableError: It cannot be had, or is not of its form; the detail shows none of it.
        """
        try:
            text = self._client.get_secret_value(SecretId=arn)["SecretString"]
            return msgspec.json.decode(text, type=dict[str, str])
        except (BotoCoreError, ClientError) as error:
            raise UnavailableError(f"{arn} cannot be read: {_reason(error)}") from error
        except (KeyError, msgspec.MsgspecError):
            # Not `from`: the text of these may quote what is in it.
            raise UnavailableError(f"{arn} is not a JSON object of texts") from None

    def write(self, arn: str, members: Mapping[str, str]) -> None:
        """Put another version of a secret in its place.

        Raises:
            UnavailableError: Secrets Manager refuses.
        """
        try:
            self._client.put_secret_value(
                SecretId=arn, SecretString=msgspec.json.encode(members).decode()
            )
        except (BotoCoreError, ClientError) as error:
            raise UnavailableError(f"{arn} cannot be written: {_reason(error)}") from error


def provide(secrets: SecretsManager, arn: str, files: Mapping[str, Path]) -> None:
    """Write members of a secret to files, where one of these is missing.

    What is there stays: a process that is started again has renewed it since.

    Args:
        secrets: Where it is.
        arn: Which one.
        files: By the members' names.

    Raises:
        UnavailableError: The secret cannot be read, a member is missing, or the disk refuses.
    """
    if all(path.exists() for path in files.values()):
        return
    members = secrets.read(arn)
    missing = sorted(set(files) - set(members))
    if missing:
        raise UnavailableError(f"{arn} has no {', '.join(missing)}: the founder has not run yet")
    try:
        for name, path in files.items():
            path.parent.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            durable.replace_file(durable.LocalFilesystem(), path, members[name].encode())
    except OSError as error:
        raise UnavailableError(f"{error.filename}: {error.strerror}") from error


def _reason(error: BotoCoreError | ClientError) -> str:
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "unknown"))
    return type(error).__name__
