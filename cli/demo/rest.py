"""A client of the REST face, on the standard library: what any program could send."""

import base64
import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from strongroom import jsontext
from strongroom.errors import UnavailableError

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

    def __init__(self, url: str, token: str = "") -> None:
        """Take where REST is served, e.g. `http://127.0.0.1:8080`."""
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._token = token
        self.url = url

    def with_token(self, token: str) -> "RestClient":
        """Return a client that presents an access token."""
        return RestClient(self.url, token)

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
        headers = {"Content-Type": "application/json"}
        return self._request("PUT", f"/entity/{database}", entities, headers)

    def get(self, database: str, key: str) -> Answer:
        """Read an entity."""
        return self._request("GET", f"/entity/{database}?{urlencode({'key': key})}", None, {})

    def _request(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> Answer:
        if self._token:
            headers = {**headers, "Authorization": f"Bearer {self._token}"}
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answered = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, answered, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError("REST does not answer") from error
        finally:
            connection.close()
