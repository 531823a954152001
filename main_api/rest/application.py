"""Chalice, made safe under threads and closed by default.

Chalice keeps the current request on the app object, so that two threads would see each other's;
here it is kept per thread. And every request passes `__call__`: there the bearer token is
verified, for every operation that does not declare that it takes none, before any view runs. So no
route can miss it (docs/adr/0003-token-verified-in-the-app.md).
"""

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar

import msgspec
from chalice.app import Chalice, Request, Response

from main_api.bootstrap import Current, Main
from main_api.domain.addresses import Origin
from main_api.domain.caller import Caller
from main_api.rest import problems, rate_limit_fields
from main_api.rest.operations import Operation, Right
from main_api.rest.requests import basic_credentials, query_of
from main_api.service.throttling import Attempt
from strongroom import ids, logs
from strongroom.errors import (
    InternalError,
    MethodNotAllowedError,
    NotFoundError,
    StrongroomError,
    UnauthenticatedError,
)

REQUEST_ID_HEADER: Final = "X-Request-ID"
NO_STORE: Final = {"Cache-Control": "no-store"}
_UNAUTHENTICATED: Final = 401
_log = logs.logger()
Event = dict[str, Any]
T = TypeVar("T")
Q = TypeVar("Q", bound=msgspec.Struct)


class _PerThread(threading.local):
    request: Request | None = None
    lambda_context: Any = None
    caller: Caller | None = None
    attempt: Attempt | None = None
    query: msgspec.Struct | None = None
    request_id: str = ""


class StrongroomApp(Chalice):
    """The REST face's application object: `app(event, context)`, as Lambda calls it."""

    def __init__(self, app_name: str, current: Current) -> None:
        """Take the way to the use cases."""
        self._per_thread = _PerThread()
        super().__init__(app_name, configure_logs=False)
        self.operations: dict[tuple[str, str], Operation] = {}
        self._current = current

    @property
    def current_request(self) -> Request | None:
        """The request that this thread is serving."""
        return self._per_thread.request

    @current_request.setter
    def current_request(self, request: Request | None) -> None:
        self._per_thread.request = request

    @property
    def lambda_context(self) -> Any:  # noqa: ANN401 - Chalice's own type
        """The context that this thread was called with."""
        return self._per_thread.lambda_context

    @lambda_context.setter
    def lambda_context(self, context: Any) -> None:  # noqa: ANN401 - as above
        self._per_thread.lambda_context = context

    @property
    def request(self) -> Request:
        """The request that this thread is serving; only for views."""
        request = self._per_thread.request
        if request is None:
            raise InternalError("there is no request")
        return request

    @property
    def request_id(self) -> str:
        """The id of the request that this thread is serving."""
        return self._per_thread.request_id

    @property
    def caller(self) -> Caller:
        """Who has proven to be calling; only for views of paths that are not public."""
        caller = self._per_thread.caller
        if caller is None:
            raise InternalError("the caller was not authenticated")
        return caller

    @property
    def main(self) -> Main:
        """The use cases."""
        return self._current.get()

    def query(self, kind: type[Q]) -> Q:
        """Return the query parameters of the request, as the view's operation declares them."""
        query = self._per_thread.query
        if not isinstance(query, kind):
            raise InternalError("the operation does not declare these parameters")
        return query

    def route(
        self,
        path: str,
        operation: Operation | None = None,
        **kwargs: Any,  # noqa: ANN401 - Chalice's
    ) -> Callable[..., Any]:
        """Register a view; its errors become problem details.

        Args:
            path: With the names of its parameters in braces.
            operation: What its methods do. Without it, a token is wanted, no parameter is taken,
                and the document at `/openapi.json` cannot be made.
            kwargs: Chalice's further arguments, `methods` among them.
        """
        register = super().route(path, content_types=[], **kwargs)
        if operation is not None:
            self.operations |= {(path, method): operation for method in kwargs["methods"]}

        def decorate(view: Callable[..., Response]) -> Callable[..., Response]:
            @wraps(view)
            def translated(*args: str, **values: str) -> Response:
                return self._answer(lambda: self._served(operation, lambda: view(*args, **values)))

            register(translated)
            return translated

        return decorate

    def __call__(self, event: Event, context: Any) -> dict[str, Any]:  # noqa: ANN401 - Chalice's
        """Serve one API Gateway proxy event (v1)."""
        mine = self._per_thread
        mine.request_id = _request_id(event)
        mine.caller, mine.attempt, mine.query = None, None, None
        try:
            refusal = self._answer(lambda: self._admit(event))
            answer = (
                super().__call__(event, context)
                if refusal is None
                else refusal.to_dict(self.api.binary_types)
            )
            headers = answer.setdefault("headers", {})
            headers[REQUEST_ID_HEADER] = mine.request_id
            self._count(answer)
        finally:
            mine.request, mine.caller, mine.query = None, None, None
        return answer

    def require_client(self, headers: dict[str, str], peer: str) -> None:
        """Let pass what begins to send something large; `__call__` asks again when it has come.

        Args:
            headers: The request's, by names in lower case.
            peer: The address that it comes from.

        Raises:
            UnauthenticatedError: It is a stranger's.
            RateLimitedError: Its client, or its address, is over a limit.
        """
        caller = self._prove(headers, peer)
        self.main.quotas.require(caller.client_id)

    def refuse(self, error: StrongroomError, headers: dict[str, str]) -> dict[str, Any]:
        """Answer a request that never became an event."""
        request_id = _request_id({"headers": headers})
        answer = problems.response(error, request_id, {REQUEST_ID_HEADER: request_id})
        return answer.to_dict(self.api.binary_types)

    def _admit(self, event: Event) -> None:
        """Check path, method and token, in this order, before Chalice sees the request."""
        resource = event["requestContext"]["resourcePath"]
        methods = self.routes.get(resource)
        if methods is None:
            raise NotFoundError("no such path")
        method = event["requestContext"]["httpMethod"]
        if method not in methods:
            raise MethodNotAllowedError("allowed here: " + ", ".join(sorted(methods)))
        headers = {k.lower(): v for k, v in (event.get("headers") or {}).items()}
        peer = event["requestContext"].get("identity", {}).get("sourceIp", "")
        operation = self.operations.get((resource, method))
        if operation is None or operation.takes_token:
            caller = self._prove(headers, peer)
            quotas = self.main.quotas
            if quotas.policies:
                quotas.admit(caller.client_id, _body_bytes(event))
            self._per_thread.caller = caller
        elif Right.PUBLIC not in operation.rights:
            # It takes credentials of its own, which its view compares.
            self._per_thread.attempt = self.main.throttle.attempt(
                _origin(headers, peer), _named_client(headers)
            )

    def _served(self, operation: Operation | None, view: Callable[[], Response]) -> Response:
        """Run a view once the request is one that its operation declares."""
        declared = None if operation is None else operation.query
        self._per_thread.query = query_of(self.request, declared)
        return view()

    def _prove(self, headers: dict[str, str], peer: str) -> Caller:
        return self.main.throttle.prove(headers.get("authorization"), _origin(headers, peer))

    def _count(self, answer: dict[str, Any]) -> None:
        """Count what became of a request: a failed authentication, bytes of an answer."""
        mine = self._per_thread
        if mine.attempt is not None and answer["statusCode"] == _UNAUTHENTICATED:
            self.main.throttle.failed(mine.attempt)
        if mine.caller is None:
            return
        quotas = self.main.quotas
        if quotas.policies:
            standings = quotas.settle(mine.caller.client_id, _answer_bytes(answer))
            answer["headers"].update(rate_limit_fields.fields(quotas.policies, standings))

    def _answer(self, work: Callable[[], T]) -> T | Response:
        try:
            return work()
        except MethodNotAllowedError as error:
            allow = {"Allow": error.detail.partition(": ")[2]}
            return problems.response(error, self.request_id, allow)
        except StrongroomError as error:
            return problems.response(error, self.request_id)
        except Exception:  # noqa: BLE001 - the boundary: what nobody foresaw is logged, not shown
            _log.exception("request-failed", request_id=self.request_id)
            defect = InternalError("an internal error; quote the request id when you report it")
            return problems.response(defect, self.request_id)


def json_response(
    body: bytes, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return an answer of JSON text; nobody on the way may keep it (RFC 9111 section 5.2.2.5)."""
    all_headers: dict[str, str | list[str]] = {
        "Content-Type": "application/json",
        **NO_STORE,
        **(headers or {}),
    }
    return Response(body.decode(), all_headers, status)


def _origin(headers: dict[str, str], peer: str) -> Origin:
    return Origin(peer, headers.get("x-forwarded-for", ""))


def _named_client(headers: dict[str, str]) -> str:
    """Return the client that HTTP Basic credentials name, empty where none do."""
    try:
        return basic_credentials(headers.get("authorization"))[0]
    except UnauthenticatedError:
        return ""


def _body_bytes(event: Event) -> int:
    """Return how large the body of a request is."""
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        return len(body) * 3 // 4 - body[-2:].count("=")
    return _utf8_bytes(body)


def _answer_bytes(answer: dict[str, Any]) -> int:
    return _utf8_bytes(answer.get("body") or "")


def _utf8_bytes(text: str) -> int:
    # Most text is ASCII, which is known of it without looking.
    return len(text) if text.isascii() else len(text.encode())


def _request_id(event: Event) -> str:
    for name, value in (event.get("headers") or {}).items():
        if name.lower() == REQUEST_ID_HEADER.lower() and ids.is_request_id(value):
            return str(value)
    return ids.new_id()
