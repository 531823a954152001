"""Content negotiation, RFC 9110 section 12.5: what a client takes, of what there is."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from strongroom.errors import NotAcceptableError

_QUALITY: Final = re.compile(r"0?(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_ANY: Final = "*/*"
_USUAL_CHARS_MAX: Final = 64
_REMEMBERED: Final = 128


@dataclass(frozen=True, slots=True)
class Codings:
    """Which content codings an answer may have.

    Attributes:
        gzip: Whether it may be compressed, and the client would rather have it so.
        identity: Whether it may be as it is.
    """

    gzip: bool
    identity: bool


AS_IT_IS: Final = Codings(gzip=False, identity=True)


def media_type(accept: str | None, offered: Sequence[str]) -> str:
    """Return which of the offered media types an `Accept` header prefers; the first one without it.

    Raises:
        NotAcceptableError: None of them.
    """
    if accept is None or accept == _ANY or not offered:
        return offered[0] if offered else ""
    weights = _weights(accept)
    best = max(offered, key=lambda one: _weight(one, weights))
    if _weight(best, weights) == 0:
        raise NotAcceptableError("this is answered as " + " or ".join(offered))
    return best


def codings(accept_encoding: str | None) -> Codings:
    """Return what an `Accept-Encoding` header lets an answer be."""
    if accept_encoding is None:
        return AS_IT_IS
    # A client sends the same one each time; one that is long is none that a library sends.
    is_usual = len(accept_encoding) <= _USUAL_CHARS_MAX
    return (_remembered if is_usual else _codings)(accept_encoding)


def _codings(accept_encoding: str) -> Codings:
    weights = _weights(accept_encoding)
    rest = weights.get("*")
    gzip = max(weights.get("gzip", rest or 0), weights.get("x-gzip", 0))
    named = weights.get("identity", rest)
    return Codings(gzip=0 < gzip >= (named or 0), identity=named != 0)


_remembered = lru_cache(_REMEMBERED)(_codings)


def _weights(text: str) -> Mapping[str, float]:
    """Return the weight of each element of a list; what cannot be read is passed over."""
    return dict(_weighted(element) for element in text.split(",") if element.strip())


def _weighted(element: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in element.split(";"))
    return name, _quality(parameters)


def _quality(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            value = value.strip()
            return float(value) if value.strip(".") and _QUALITY.fullmatch(value) else 0.0
    return 1.0


def _weight(offered: str, weights: Mapping[str, float]) -> float:
    """Return the weight of the most specific range that an offered media type is in."""
    ranges = (offered, offered.partition("/")[0] + "/*", _ANY, "*")
    return next((weights[one] for one in ranges if one in weights), 0.0)
