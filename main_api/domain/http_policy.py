"""What settings decide of HTTP: which web pages may read answers, whether these are compressed."""

import re
from dataclasses import dataclass
from typing import Final

from strongroom.errors import InvalidArgumentError

ANY: Final = "*"
_ORIGIN: Final = re.compile(r"https?://(\[[0-9a-f:]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class HttpPolicy:
    """The defaults let no page read anything, and compress.

    Attributes:
        origins: Whose pages may read answers (the CORS protocol of the Fetch standard). Credentials
            of the browser, cookies, are never meant: a page sends the token itself.
        compress: Whether answers are gzip for clients that take it.
    """

    origins: frozenset[str] = frozenset()
    compress: bool = True

    def allowed(self, origin: str) -> str:
        """Return what `Access-Control-Allow-Origin` says to a page, empty for nothing."""
        if ANY in self.origins:
            return ANY
        return origin if origin in self.origins else ""


def origins(text: str) -> frozenset[str]:
    """Return the origins of a setting, separated by commas; or `*`.

    Raises:
        InvalidArgumentError: One is not an origin, such as `https://app.example`.
    """
    found = frozenset(one.strip() for one in text.split(",") if one.strip())
    for origin in found - {ANY}:
        if _ORIGIN.fullmatch(origin) is None:
            raise InvalidArgumentError(
                "an origin is scheme://host or scheme://host:port, in lower case, as in"
                f" https://app.example, not {origin!r}"
            )
    return found
