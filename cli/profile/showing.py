"""`strongroom profile list` and `show`."""

from cli import profiles
from cli.output import as_json, line, table
from cli.profiles import SecretPlace
from strongroom.errors import StrongroomError


def show_all(*, json: bool) -> None:
    """List the profiles.

    Raises:
        StrongroomError: As `profiles.read`.
    """
    found = profiles.read()
    current = found.get(profiles.CURRENT)
    shown = [(name, profiles.members(found, name)) for name in profiles.names(found)]
    if json:
        for name, one in shown:
            as_json({"name": name, "current": name == current, **one})
        return
    rows = (
        (
            "*" if name == current else "",
            name,
            one.get("url", ""),
            one.get("grpc_address", ""),
            one.get("client_id", ""),
            one.get("secret", SecretPlace.PROMPT),
        )
        for name, one in shown
    )
    table(("", "PROFILE", "URL", "GRPC", "CLIENT", "SECRET"), rows)


def show(name: str, *, json: bool) -> None:
    """Print a profile; raises as `profiles.members`."""
    found = profiles.read()
    one = profiles.members(found, name)
    told = {**one, "secret": one.get("secret", SecretPlace.PROMPT)}
    if told["secret"] == SecretPlace.KEYRING:
        told["secret_state"] = _state(name)
    if json:
        as_json({"name": name, "current": name == found.get(profiles.CURRENT), **told})
        return
    for member, value in told.items():
        line(f"{member}: {value}")


def _state(name: str) -> str:
    try:
        return "kept" if profiles.entry(name).read() is not None else "missing"
    except StrongroomError as error:
        return error.detail
