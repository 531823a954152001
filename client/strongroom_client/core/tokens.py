"""The access token that a client has, and when it wants another one."""

from typing import Final

from strongroom_client.calls import Token
from strongroom_client.credentials import checked

_RENEWED_AT: Final = 0.8
"""After which part of its life a token is renewed."""

_TRIED_AGAIN_S: Final = 5.0
_LIFE_S_MAX: Final = 24 * 3600.0


class TokenKeeper:
    """Keeps one token; times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        """Have none."""
        self._text = ""
        self._renewed_at = self._ends_at = 0.0

    def __repr__(self) -> str:
        """Show nothing of it."""
        return "TokenKeeper()"

    def usable(self, now: float) -> str:
        """Return the token; "" where it is time to fetch another one."""
        return self._text if now < self._renewed_at else ""

    def last_resort(self, now: float) -> str:
        """Return the token for as long as it is good; "" where there is none."""
        return self._text if now < self._ends_at else ""

    def renewing(self, now: float) -> None:
        """Note that somebody fetches one: others go on with what is there, and nobody at once."""
        self._renewed_at = min(self._ends_at, now + _TRIED_AGAIN_S)

    def accept(self, token: Token, asked_at: float) -> str:
        """Keep a token that was asked for at a time, from which its life is counted.

        Raises:
            ConfigurationError: It fits into no header field.
        """
        life_s = min(max(token.expires_in_s, 0.0), _LIFE_S_MAX)
        self._text = checked(token.text)
        self._ends_at = asked_at + life_s
        self._renewed_at = asked_at + life_s * _RENEWED_AT
        return self._text

    def refuse(self, text: str) -> None:
        """Forget a token that a server refuses, unless there is another one by now."""
        if text == self._text:
            self._text = ""
            self._renewed_at = self._ends_at = 0.0
