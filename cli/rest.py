"""A client of the REST face, on the standard library: what any program could send."""

import base64
import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from strongroom import jsontext
from strongroom.errors import InvalidArgumentError, UnavailableError

_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401 - any JSON value
        """Return the body's value; raises InvalidDocumentError."""
        return jsontext.parse(self.body)


class RestClient:
    """Sends requests to one address, with the token that it was given, if any."""

    def __init__(self, url: str, token: str = "", ca_file: str | None = None) -> None:
        """Take where REST is served, e.g. `http://127.0.0.1:8080`.

        Args:
            url: The address; its path is not used.
            token: An access token.
            ca_file: Whom to trust over https, PEM; None for the system's own.

        Raises:
            InvalidArgumentError: Not an http or https address.
        """
        try:
            parts = urlsplit(url)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError as error:
            raise _no_address(url) from error
        if parts.scheme not in {"http", "https"} or not self._host:
            raise _no_address(url)
        self._is_https = parts.scheme == "https"
        self._ca_file = ca_file
        self._token = token
        self.url = url

    @property
    def has_token(self) -> bool:
        """Whether it presents one."""
        return bool(self._token)

    def with_token(self, token: str) -> "RestClient":
        """Return a client that presents an access token."""
        return RestClient(self.url, token, self._ca_file)

    def ask_token(self, client_id: str, client_secret: str) -> Answer:
        """Ask for an access token (RFC 6749 section 4.4)."""
        credentials = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
        headers = {
            "Authorization": f"Basic {credentials}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        form = urlencode({"grant_type": "client_credentials"}).encode()
        return self._request("POST", "/oauth/token", form, headers)

    def put(self, database: str, entities: bytes) -> Answer:
        """Create or replace entities; `entities` is a JSON object of them."""
        return self.put_at(f"/entity/{database}", entities)

    def put_at(self, path: str, body: bytes, **headers: str) -> Answer:
        """Put JSON at a path."""
        named = {"Content-Type": "application/json", **headers}
        return self._request("PUT", path, body, named)

    def entity(self, database: str, key: str) -> Answer:
        """Read an entity."""
        return self.get(f"/entity/{database}?{urlencode({'key': key})}")

    def get(self, path: str) -> Answer:
        """Ask for what a path shows."""
        return self._request("GET", path, None, {})

    def post(self, path: str, body: bytes) -> Answer:
        """Send JSON."""
        return self._request("POST", path, body, {"Content-Type": "application/json"})

    def delete(self, path: str) -> Answer:
        """Have something removed."""
        return self._request("DELETE", path, None, {})

    def _connection(self) -> http.client.HTTPConnection:
        if not self._is_https:
            return http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)
        try:
            context = ssl.create_default_context(cafile=self._ca_file)
        except OSError as error:
            raise InvalidArgumentError(f"{self._ca_file} has no certificates: {error}") from error
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=_TIMEOUT_S, context=context
        )

    def _request(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> Answer:
        if self._token:
            headers = {**headers, "Authorization": f"Bearer {self._token}"}
        connection = self._connection()
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answered = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, answered, response.read())
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            raise UnavailableError(f"{self.url} does not answer: {error}") from error
        finally:
            connection.close()


def _no_address(url: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{url} is not an address like http://127.0.0.1:8080")
