"""Which deployment, and as whom: of the environment, or of a profile.

Profiles stand in a TOML file, `strongroom/profiles.toml` below `$XDG_CONFIG_HOME` (`~/.config`): a
table for each, with `url`, `grpc_address`, `ca_file`, `client_id`, and where the secret is
(`secret`); and `current`, the one that is taken where none is named. No secret stands in it: that
is in the keyring of the operating system, in the environment, or typed. Who could write the file
could have secrets sent elsewhere, so it is read only while nobody else can.
"""

import getpass
import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from main_api.adapters.os_keyring import KeyringEntry
from strongroom import privatefile
from strongroom.errors import InvalidArgumentError, NotFoundError

FILE_BYTES_MAX: Final = 64 * 1024
CURRENT: Final = "current"
MEMBERS: Final = ("url", "grpc_address", "ca_file", "client_id", "secret")
_SERVICE: Final = "strongroom-cli"
_SECRET: Final = "STRONGROOM_CLIENT_SECRET"  # noqa: S105 - the name of a variable
_ROAD: Final = "`strongroom profile add` makes one"


class SecretPlace(StrEnum):
    """Where a profile's secret is."""

    KEYRING = "keyring"
    PROMPT = "prompt"


@dataclass(frozen=True, slots=True)
class Named:
    """A deployment, and as whom to ask it.

    Attributes:
        url: Its address.
        client_id: A client.
        client_secret: Its secret.
        ca_file: Whom to trust, PEM; None for the system's own.
    """

    url: str
    client_id: str
    client_secret: str = field(repr=False)
    ca_file: str | None = None


def named(profile: str | None, *, may_ask: bool = True) -> Named:
    """Return what names a deployment; a variable of the environment goes before a profile's member.

    Args:
        profile: A profile's name; None: that of STRONGROOM_PROFILE, or the current one.
        may_ask: Whether a secret that is nowhere else may be typed.

    Raises:
        InvalidArgumentError: Something is missing, or the file is none.
        NotFoundError, UnavailableError: The file is missing, others can read it, or the keyring is
            locked.
    """
    name, told = _told(profile)
    if missing := [one for one in ("url", "client_id") if not told.get(one)]:
        unsaid = [] if name or os.environ.get(_SECRET) else [_SECRET]
        variables = ", ".join([*map(_variable, missing), *unsaid])
        raise InvalidArgumentError(f"set {variables}, or name a profile: --profile NAME; {_ROAD}")
    if odd := [one for one, value in told.items() if not value.isprintable()]:
        raise InvalidArgumentError(f"{_variable(odd[0])} is not text on one line")
    secret = os.environ.get(_SECRET) or _kept(name, told, may_ask=may_ask)
    if not secret.isprintable():
        raise InvalidArgumentError(f"{_SECRET} is not text on one line")
    return Named(told["url"], told["client_id"], secret, told.get("ca_file"))


def address(profile: str | None) -> tuple[str, str | None]:
    """Return where a deployment is and whom to trust there, without a secret; "" for nowhere."""
    _, told = _told(profile)
    return told.get("url", ""), told.get("ca_file")


def path() -> Path:
    """Return where profiles are kept."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "strongroom" / "profiles.toml"


def entry(name: str) -> KeyringEntry:
    """Return where the secret of a profile is kept."""
    instead = f"set {_SECRET}, or make the profile with --secret prompt"
    return KeyringEntry(_SERVICE, name, "the secret of the profile", instead)


def read() -> dict[str, Any]:
    """Return what stands in the file; nothing where there is none.

    Raises:
        InvalidArgumentError: It is none of ours.
        UnavailableError: Others can read it.
    """
    file = path()
    try:
        return tomllib.loads(privatefile.read(file, FILE_BYTES_MAX).decode())
    except NotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # Without its text, which may quote what somebody took for a place for secrets.
        raise InvalidArgumentError(f"{file} is not TOML") from error


def members(profiles: Mapping[str, Any], name: str) -> dict[str, str]:
    """Return the members of a profile.

    Raises:
        NotFoundError: There is none of this name.
        InvalidArgumentError: It is none.
    """
    file, profile = path(), profiles.get(name)
    if not isinstance(profile, Mapping):
        there = ", ".join(names(profiles)) or "none"
        raise NotFoundError(f"{file} has no profile {name}; it has: {there}; {_ROAD}")
    if "client_secret" in profile:
        raise InvalidArgumentError(
            f"{file}: {name} has a client_secret, which everything that reads your files can read;"
            f" have it rotated, remove it, and enter `strongroom profile add {name}`"
        )
    if unknown := sorted(set(profile) - set(MEMBERS)):
        raise InvalidArgumentError(f"{file}: {name} has the unknown member {unknown[0]}")
    if wrong := [member for member, value in profile.items() if not isinstance(value, str)]:
        raise InvalidArgumentError(f"{file}: {name}.{wrong[0]} is not a text")
    if profile.get("secret", SecretPlace.PROMPT) not in set(SecretPlace):
        raise InvalidArgumentError(f"{file}: {name}.secret is keyring or prompt")
    return dict(profile)


def names(profiles: Mapping[str, Any]) -> list[str]:
    """Return the names of the profiles."""
    return sorted(name for name, one in profiles.items() if isinstance(one, Mapping))


def _told(profile: str | None) -> tuple[str, dict[str, str]]:
    """Return the name of the profile, "" for none, and what it and the environment say."""
    environment = {
        one: os.environ.get(_variable(one), "") for one in ("url", "client_id", "ca_file")
    }
    said = {name: value for name, value in environment.items() if value}
    name = profile or os.environ.get("STRONGROOM_PROFILE") or ""
    if not name and {"url", "client_id"} <= said.keys():
        return "", said
    profiles = read()
    current = profiles.get(CURRENT)
    name = name or (current if isinstance(current, str) else "")
    told = members(profiles, name) if name else {}
    if "url" not in told and "grpc_address" in told:
        told["url"] = f"grpc://{told['grpc_address']}"
    if os.environ.get("STRONGROOM_TRANSPORT") == "grpc" and "grpc_address" in told:
        told["url"] = f"grpc://{told['grpc_address']}"
    return name, told | said


def _kept(name: str, told: Mapping[str, str], *, may_ask: bool) -> str:
    """Return the secret out of the keyring, or as it is typed.

    Raises:
        InvalidArgumentError: There is none, and nobody who could type it.
    """
    if told.get("secret") == SecretPlace.KEYRING:
        _require_own_address(name, told["url"])
        kept = entry(name).read()
        if kept is None:
            raise InvalidArgumentError(
                f"{entry(name).name} is missing; `strongroom profile add {name}` puts it there"
            )
        return kept
    if may_ask and name and sys.stdin.isatty():
        if typed := getpass.getpass(f"Secret of {told['client_id']}: "):
            return typed
        raise InvalidArgumentError("no secret was typed")
    raise InvalidArgumentError(
        f"set {_SECRET}, or name a profile with a secret: --profile NAME; {_ROAD}"
    )


def _require_own_address(name: str, url: str) -> None:
    """Let a kept secret go only where its profile says, whatever is left in an environment.

    Raises:
        InvalidArgumentError: It would go elsewhere.
    """
    own = members(read(), name)
    grpc = f"grpc://{own['grpc_address']}" if "grpc_address" in own else None
    if url not in {own.get("url"), grpc}:
        raise InvalidArgumentError(
            f"STRONGROOM_URL is not where the profile {name} is, and the secret of that goes"
            f" nowhere else: unset it, or set {_SECRET} too"
        )


def _variable(name: str) -> str:
    return f"STRONGROOM_{name.upper()}"
