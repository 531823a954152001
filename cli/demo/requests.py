"""What the demonstration sends over REST, so that it can show what is answered to the letter."""

import base64
from urllib.parse import urlencode

from cli.plain_http import PlainHttp
from strongroom_client.rest.messages import HttpResponse


class Requests:
    """Requests to one deployment, with an access token, if any."""

    def __init__(self, http: PlainHttp, token: str = "") -> None:
        """Take what carries them."""
        self._http = http
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    @property
    def url(self) -> str:
        """Where they go."""
        return self._http.url

    def with_token(self, token: str) -> "Requests":
        """Return the same with a token."""
        return Requests(self._http, token)

    def ask_token(self, client_id: str, client_secret: str) -> HttpResponse:
        """Ask for an access token (RFC 6749 section 4.4)."""
        credentials = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
        headers = {
            "Authorization": f"Basic {credentials}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        form = urlencode({"grant_type": "client_credentials"}).encode()
        return self._http.send("POST", "/oauth/token", headers, form)

    def put(self, database: str, entities: bytes) -> HttpResponse:
        """Create or replace entities; `entities` is a JSON object of them."""
        headers = {"Content-Type": "application/json", **self._headers}
        return self._http.send("PUT", f"/entity/{database}", headers, entities)

    def entity(self, database: str, key: str) -> HttpResponse:
        """Read an entity."""
        target = f"/entity/{database}?{urlencode({'key': key})}"
        return self._http.send("GET", target, self._headers)
