"""`strongroom keys rotate`: a new key for every write, or every access token, from now on."""

from cli.output import as_json, line
from cli.session import session


def run(*, token_signing: bool, json: bool, profile: str | None) -> None:
    """Make a new key and print its id."""
    with session(profile) as client:
        made = client.admin.rotate_signing_keys() if token_signing else client.admin.rotate_keys()
        if json:
            as_json({"key_id": made})
        elif token_signing:
            line(f"the key {made} signs access tokens as soon as everybody knows it")
        else:
            line(f"the key {made} is active; `strongroom keys rewrap` puts older files under it")
