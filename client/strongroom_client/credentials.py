"""As whom a client asks."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from strongroom_client.errors import ConfigurationError

TokenSource = Callable[[], str]
"""Returns an access token, each time one is needed; it keeps one for as long as it likes."""

AsyncTokenSource = Callable[[], Awaitable[str] | str]

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,16384}")


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """A client's id and secret, for which tokens are fetched and renewed.

    Attributes:
        client_id: Its id.
        client_secret: Its secret; it does not show in `repr`.
        scope: Actions to narrow the tokens to, separated by spaces; "" for all that are granted.
        user: Whom of the client's users to act for (token exchange, RFC 8693); None: itself.
    """

    client_id: str
    client_secret: str = field(repr=False)
    scope: str = ""
    user: str | None = None

    def __post_init__(self) -> None:
        if not self.client_id or not self.client_secret:
            raise ConfigurationError("a client has an id and a secret")
        if not _is_text(self.client_id, self.client_secret, self.scope, self.user or ""):
            raise ConfigurationError("an id, a secret, a scope or a user has an unpaired surrogate")


@dataclass(frozen=True, slots=True)
class StaticToken:
    """An access token that somebody else renews; it does not show in `repr`."""

    text: str = field(repr=False)

    def __post_init__(self) -> None:
        checked(self.text)


def _is_text(*told: str) -> bool:
    try:
        "".join(told).encode()
    except UnicodeEncodeError:
        return False
    return True


def checked(token: str) -> str:
    """Return a token that fits into a header field.

    Raises:
        ConfigurationError: It does not.
    """
    if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
        raise ConfigurationError("the access token is not visible ASCII on one line")
    return token
