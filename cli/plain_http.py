"""Single requests as they stand, for what no client asks: over the client library's own channel."""

from typing import Final

from strongroom.errors import InvalidArgumentError, UnavailableError
from strongroom_client import StrongroomClientError
from strongroom_client.address import parse
from strongroom_client.core.steps import Broken
from strongroom_client.rest.channel import HttpChannel
from strongroom_client.rest.messages import HttpRequest, HttpResponse
from strongroom_client.trust import roots, tls_context

_TIMEOUT_S: Final = 15.0


class PlainHttp:
    """Sends requests to one address, once each."""

    def __init__(self, url: str, ca_file: str | None = None) -> None:
        """Take where to, and whom to trust over https, PEM; None for the system's own.

        Raises:
            InvalidArgumentError: No such address, or no such certificates.
        """
        self.url = url
        try:
            address, pem = parse(url, allow_plaintext=True), roots(ca_file)
        except StrongroomClientError as error:
            raise InvalidArgumentError(error.detail) from error
        if address.scheme == "grpc":
            raise InvalidArgumentError(f"{url} is not an address of HTTP")
        self._channel = HttpChannel(address, tls_context(pem))

    def close(self) -> None:
        """Give up its connections."""
        self._channel.close()

    def send(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> HttpResponse:
        """Send a request and return the response, whatever its status.

        Raises:
            UnavailableError: There is none.
        """
        request = HttpRequest(method, target, headers or {}, body)
        try:
            answer = self._channel.exchange(request, _TIMEOUT_S)
        except StrongroomClientError as error:
            raise UnavailableError(error.detail) from error
        if isinstance(answer, Broken):
            raise UnavailableError(answer.detail)
        return answer
