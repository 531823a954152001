"""Which deployment a command talks to, and as whom: taken from the environment."""

import os
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec

from cli.rest import Answer, RestClient
from strongroom import jsontext
from strongroom.errors import (
    ConflictError,
    ForbiddenError,
    InvalidArgumentError,
    NotFoundError,
    StrongroomError,
    UnavailableError,
)

_URL: Final = "STRONGROOM_URL"
_CLIENT_ID: Final = "STRONGROOM_CLIENT_ID"
_CLIENT_SECRET: Final = "STRONGROOM_CLIENT_SECRET"  # noqa: S105 - the name of a variable
_CA_FILE: Final = "STRONGROOM_CA_FILE"
_ATTEMPTS: Final = 10
_NOT_OURS: Final = "not an answer of Strongroom's"
_DONE: Final = frozenset(
    {HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT}
)
_PASSING: Final = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS})
_REFUSALS: Final[dict[int, type[StrongroomError]]] = {
    HTTPStatus.BAD_REQUEST: InvalidArgumentError,
    HTTPStatus.FORBIDDEN: ForbiddenError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
}

T = TypeVar("T")


class _Token(msgspec.Struct):
    access_token: str


class _Problem(msgspec.Struct):
    detail: str


class Deployment:
    """A deployment that one client is logged in to."""

    def __init__(self, pause: Callable[[float], object]) -> None:
        """Read the environment; `pause` waits a number of seconds.

        Raises:
            InvalidArgumentError: A variable is missing.
        """
        self.pause = pause
        self._client_id, self._secret = _variable(_CLIENT_ID), _variable(_CLIENT_SECRET)
        self._rest = RestClient(_variable(_URL), ca_file=os.environ.get(_CA_FILE))

    def get(self, path: str, kind: type[T]) -> T:
        """Return what is answered; raises as `post`."""
        return self._ask(lambda: self._rest.get(path), kind)

    def post(self, path: str, body: bytes, kind: type[T]) -> T:
        """Send JSON, return what is answered; log in where that is needed, wait for a while.

        Raises:
            ForbiddenError: The client may not do this.
            ConflictError, InvalidArgumentError, NotFoundError: The deployment refuses it.
            UnavailableError: The deployment does not answer as it should.
        """
        return self._ask(lambda: self._rest.post(path, body), kind)

    def put(self, path: str, body: bytes, kind: type[T]) -> T:
        """Put JSON there; raises as `post`."""
        return self._ask(lambda: self._rest.put_at(path, body), kind)

    def delete(self, path: str) -> None:
        """Have something removed; raises as `post`."""
        self._ask(lambda: self._rest.delete(path), type(None))

    def _ask(self, send: Callable[[], Answer], kind: type[T]) -> T:
        if not self._rest.has_token:
            # Else each command is refused once, which the audit log tells of.
            self._log_in()
        for _ in range(_ATTEMPTS):
            answer = send()
            if answer.status in _DONE:
                return self._read(answer, kind)
            if answer.status == HTTPStatus.UNAUTHORIZED:
                self._log_in()
            elif answer.status in _PASSING:
                self.pause(_seconds(answer))
            else:
                break
        detail = _detail(answer)
        refused = _REFUSALS.get(answer.status)
        # A path that is not there is not told by Strongroom alone.
        if refused is not None and detail != _NOT_OURS:
            raise refused(detail)
        raise UnavailableError(f"{self._rest.url} answers {answer.status}: {detail}")

    def _log_in(self) -> None:
        answer = self._rest.ask_token(self._client_id, self._secret)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise ForbiddenError(f"{_CLIENT_ID} and {_CLIENT_SECRET} are not those of a client")
        if answer.status == HTTPStatus.OK:
            self._rest = self._rest.with_token(self._read(answer, _Token).access_token)
        else:
            self.pause(_seconds(answer))

    def _read(self, answer: Answer, kind: type[T]) -> T:
        try:
            empty = answer.status == HTTPStatus.NO_CONTENT
            return msgspec.json.decode(b"null" if empty else answer.body, type=kind)
        except jsontext.UNREADABLE as error:
            # Whoever answers here may be another server.
            raise UnavailableError(f"{self._rest.url}: {_NOT_OURS}") from error


def _variable(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise InvalidArgumentError(
            f"set {name}; the deployment is named by {_URL}, {_CLIENT_ID} and {_CLIENT_SECRET}"
        )
    if not value.isprintable():
        raise InvalidArgumentError(f"{name} is not text on one line")
    return value


def _seconds(answer: Answer) -> float:
    text = answer.headers.get("retry-after", "1")
    return min(float(text), 30.0) if text.isdecimal() else 1.0


def _detail(answer: Answer) -> str:
    """Return what a problem (RFC 9457) says, nothing of an answer that is none."""
    if answer.headers.get("content-type") != "application/problem+json":
        return _NOT_OURS
    try:
        return msgspec.json.decode(answer.body, type=_Problem).detail
    except jsontext.UNREADABLE:
        return _NOT_OURS
