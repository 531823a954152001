"""`strongroom profile add`, `use` and `remove`: the file is replaced as a whole, comments kept."""

import getpass
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import tomlkit

from cli import profiles
from cli.output import line
from cli.profiles import SecretPlace
from strongroom import durable
from strongroom.errors import InvalidArgumentError
from strongroom_client import ClientCredentials, StrongroomClientError
from strongroom_client.address import parse
from strongroom_client.trust import roots

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SECRET_BYTES_MAX: Final = 16 * 1024


def add(name: str, said: dict[str, str], place: SecretPlace) -> None:
    """Make or change a profile, and keep its secret.

    Raises:
        InvalidArgumentError: Something is missing, or is none.
        UnavailableError: There is no keyring that keeps it, or the file cannot be read.
        OSError: The disk refuses.
    """
    if _NAME.fullmatch(name) is None or name == profiles.CURRENT:
        raise InvalidArgumentError(f"{name} is not a name for a profile")
    known = profiles.read()
    before = profiles.members(known, name) if name in known else {}
    told = before | said | {"secret": place.value}
    if "ca_file" in said:
        told["ca_file"] = str(Path(said["ca_file"]).absolute())
    _check(told)
    if place is SecretPlace.KEYRING:
        profiles.entry(name).write(_secret(told["client_id"]))
    with _edited() as document:
        document[name] = told
        document.setdefault(profiles.CURRENT, name)
    where = "in the keyring of this system" if place is SecretPlace.KEYRING else "asked for"
    line(
        f"{name}: {told.get('url') or told['grpc_address']} as {told['client_id']}, secret {where}"
    )


def use(name: str) -> None:
    """Make a profile the one that is taken; raises as `profiles.members`."""
    profiles.members(profiles.read(), name)
    with _edited() as document:
        document[profiles.CURRENT] = name
    line(f"{name} is used where no profile is named")


def remove(name: str) -> None:
    """Remove a profile and its secret; raises as `profiles.members`."""
    one = profiles.members(profiles.read(), name)
    if one.get("secret") == SecretPlace.KEYRING:
        profiles.entry(name).remove()
    with _edited() as document:
        del document[name]
        if document.get(profiles.CURRENT) == name:
            del document[profiles.CURRENT]
    line(f"{name}: removed")


def _check(told: dict[str, str]) -> None:
    """Refuse what no command could use.

    Raises:
        InvalidArgumentError: It is that.
    """
    addresses = [told["url"]] if "url" in told else []
    addresses += [f"grpc://{told['grpc_address']}"] if "grpc_address" in told else []
    if not addresses:
        raise InvalidArgumentError("say where it is: --url https://db.example, or --grpc-address")
    if "client_id" not in told:
        raise InvalidArgumentError("say as whom: --client-id NAME")
    if odd := [member for member, value in told.items() if not value.isprintable()]:
        raise InvalidArgumentError(f"{odd[0]} is not text on one line")
    try:
        for one in addresses:
            parse(one, allow_plaintext=False)
        roots(told.get("ca_file"))
    except StrongroomClientError as error:
        raise InvalidArgumentError(error.detail) from error


def _secret(client_id: str) -> str:
    """Return the secret: of the environment, typed, or out of a pipe.

    Raises:
        InvalidArgumentError: There is none.
    """
    given = os.environ.get("STRONGROOM_CLIENT_SECRET", "")
    if not given and sys.stdin.isatty():
        given = getpass.getpass(f"Secret of {client_id}: ")
    elif not given:
        given = sys.stdin.readline(_SECRET_BYTES_MAX).rstrip("\n")
    try:
        return ClientCredentials(client_id, given).client_secret
    except StrongroomClientError as error:
        raise InvalidArgumentError("there is no secret: type it, or pipe it in") from error


@contextmanager
def _edited() -> Iterator[Any]:
    """Give the file's document, and put it back as a whole."""
    file = profiles.path()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = file.read_text() if file.exists() else ""
    document = tomlkit.parse(text)
    yield document
    durable.replace_file(durable.LocalFilesystem(), file, tomlkit.dumps(document).encode())
