"""A request as it came: an API Gateway proxy event (v1), read once."""

import base64
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from main_api.domain.addresses import Origin
from main_api.rest import coding
from main_api.rest.requests import basic_credentials
from main_api.service.requests import patience
from main_api.service.requests.patience import Patience
from strongroom import tracing
from strongroom.errors import InvalidArgumentError, UnauthenticatedError
from strongroom.tracing import Trace

Event = dict[str, Any]
REQUEST_ID_HEADER: Final = "X-Request-ID"
_TO_ANSWER_S: Final = 0.25
_HEAD: Final = "HEAD"
_GET: Final = "GET"


class Incoming:
    """What the application asks of an event before Chalice sees it.

    Attributes:
        event: The event; its `headers` have every value of a field that stands several times.
        headers: The header fields, by names in lower case.
        resource: The path as the route was declared.
        method: The HTTP method.
        trace: Which request this is.
    """

    def __init__(self, event: Event) -> None:
        """Read it."""
        self.headers = _headers(event)
        self.event = {**event, "headers": self.headers}
        context = event["requestContext"]
        self.resource: str = context["resourcePath"]
        self.method: str = context["httpMethod"]
        self.trace = trace_of(self.headers)
        self._peer: str = context.get("identity", {}).get("sourceIp", "")

    @property
    def served_method(self) -> str:
        """The method whose view answers: that of a HEAD is GET (RFC 9110 section 9.3.2)."""
        return _GET if self.method == _HEAD else self.method

    @property
    def is_head(self) -> bool:
        """Whether the answer has no content."""
        return self.method == _HEAD

    @property
    def origin(self) -> Origin:
        """Where it comes from."""
        return origin_of(self.headers, self._peer)

    @property
    def named_client(self) -> str:
        """The client that HTTP Basic credentials name, empty where none do."""
        try:
            return basic_credentials(self.headers.get("authorization"))[0]
        except UnauthenticatedError:
            return ""

    @property
    def body_bytes(self) -> int:
        """How large the body is, as it was sent."""
        body = self.event.get("body") or ""
        if self.event.get("isBase64Encoded"):
            return len(body) * 3 // 4 - body[-2:].count("=")
        return utf8_bytes(body)

    def prepare(self, bytes_max: int) -> int:
        """Give the event the method that is served, and a body without a content coding.

        Returns:
            How many bytes the body has more than what was sent.

        Raises:
            UnsupportedCodingError, TooLargeError, InvalidArgumentError: As `coding` says.
        """
        context = {**self.event["requestContext"], "httpMethod": self.served_method}
        self.event |= {"requestContext": context, "httpMethod": self.served_method}
        sent = self.body_bytes
        if not coding.is_coded(self.headers.get("content-encoding", "")) or not sent:
            return 0
        # Chalice takes bytes as they are.
        body = coding.inflated(_raw_body(self.event), bytes_max)
        self.event |= {"body": body, "isBase64Encoded": False}
        return len(body) - sent


def trace_of(headers: dict[str, str]) -> Trace:
    """Return which request this is; with an id of ours where it has none that is one.

    Where it is in a span, the thread knows it already.
    """
    entered = tracing.current()
    if entered.request_id:
        return entered
    return tracing.taken_over(
        headers.get("x-request-id", ""),
        headers.get("traceparent", ""),
        headers.get("tracestate", ""),
    )


def origin_of(headers: dict[str, str], peer: str) -> Origin:
    """Return where a request comes from."""
    return Origin(peer, headers.get("x-forwarded-for", ""))


def utf8_bytes(text: str) -> int:
    """Return how large a text is in UTF-8."""
    # Most text is ASCII, which is known of it without looking.
    return len(text) if text.isascii() else len(text.encode())


def _headers(event: Event) -> dict[str, str]:
    """Return the header fields; those that stand several times are one list (RFC 9110, 5.2)."""
    several = event.get("multiValueHeaders")
    if several:
        return {name.lower(): ",".join(values) for name, values in several.items()}
    return {name.lower(): value for name, value in (event.get("headers") or {}).items()}


def _raw_body(event: Event) -> bytes:
    body: str = event["body"]
    if not event.get("isBase64Encoded"):
        return body.encode()
    try:
        return base64.b64decode(body)
    except ValueError as error:
        raise InvalidArgumentError("the body cannot be read") from error


def until_its_end(context: Any) -> AbstractContextManager[None]:  # noqa: ANN401 - Lambda's own
    """Serve within a Lambda's time: one that has timed out answers nothing."""
    left_ms = getattr(context, "get_remaining_time_in_millis", None)
    if left_ms is None:
        return nullcontext()
    return patience.serving(Patience(max(0.0, left_ms() / 1000 - _TO_ANSWER_S)))
