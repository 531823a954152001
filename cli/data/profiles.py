"""Which deployment, and as whom: of the environment, or of a profile in a file.

The file is TOML, `strongroom/profiles.toml` below `$XDG_CONFIG_HOME` (`~/.config`); a table for
each profile, with `url`, `client_id`, `client_secret` and, where it is needed, `ca_file`. It holds
secrets, so it is read only while nobody else can read it. Nothing is taken from the command line
but a profile's name: others can see arguments.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from strongroom import privatefile
from strongroom.errors import InvalidArgumentError

_FILE_BYTES_MAX: Final = 64 * 1024
_MEMBERS: Final = ("url", "client_id", "client_secret", "ca_file")
_NEEDED: Final = _MEMBERS[:3]


def named(profile: str | None) -> dict[str, str]:
    """Return what names a deployment; a variable of the environment goes before a profile's member.

    Args:
        profile: A profile's name; None: that of STRONGROOM_PROFILE, if there is one.

    Raises:
        InvalidArgumentError: Something is missing, or the file is none.
        NotFoundError, UnavailableError: The file is missing, or others can read it.
    """
    chosen = profile or os.environ.get("STRONGROOM_PROFILE") or None
    told = {} if chosen is None else _profile(chosen)
    told |= {name: value for name, value in _environment().items() if value}
    if missing := [name for name in _NEEDED if name not in told]:
        variables = ", ".join(_variable(name) for name in missing)
        raise InvalidArgumentError(f"set {variables}, or name a profile: --profile NAME")
    return told


def path() -> Path:
    """Return where profiles are kept."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "strongroom" / "profiles.toml"


def _environment() -> dict[str, str]:
    return {name: os.environ.get(_variable(name), "") for name in _MEMBERS}


def _variable(name: str) -> str:
    return f"STRONGROOM_{name.upper()}"


def _profile(name: str) -> dict[str, str]:
    file = path()
    try:
        profiles = tomllib.loads(privatefile.read(file, _FILE_BYTES_MAX).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # Without its text, which can quote a secret.
        raise InvalidArgumentError(f"{file} is not TOML") from error
    profile = profiles.get(name)
    if not isinstance(profile, Mapping):
        there = ", ".join(sorted(profiles)) or "none"
        raise InvalidArgumentError(f"{file} has no profile {name}; it has: {there}")
    if unknown := sorted(set(profile) - set(_MEMBERS)):
        raise InvalidArgumentError(f"{file}: {name} has the unknown member {unknown[0]}")
    if wrong := [member for member, value in profile.items() if not isinstance(value, str)]:
        raise InvalidArgumentError(f"{file}: {name}.{wrong[0]} is not a text")
    return dict(profile)
