"""Chalice, made safe under threads and closed by default.

Chalice keeps the current request on the app object, so that two threads would see each other's;
here it is kept per thread. And every request passes `__call__`: there the bearer token is
verified, for every operation that does not declare that it takes none, before any view runs. So no
route can miss it (docs/adr/0003-token-verified-in-the-app.md).
"""

from collections.abc import Callable
from functools import wraps
from time import perf_counter
from typing import Any, Final, TypeVar

import msgspec
from chalice.app import Chalice, Request, Response

from main_api.bootstrap import Current, Main
from main_api.domain.caller import Caller
from main_api.domain.http_policy import HttpPolicy
from main_api.rest import (
    answers,
    auditing,
    cors,
    negotiation,
    options,
    problems,
    rate_limit_fields,
)
from main_api.rest.cloudwatch import CloudWatch
from main_api.rest.incoming import (
    REQUEST_ID_HEADER,
    Event,
    Incoming,
    origin_of,
    trace_of,
    until_its_end,
    utf8_bytes,
)
from main_api.rest.negotiation import AS_IT_IS, Codings
from main_api.rest.operations import Operation, Right
from main_api.rest.per_thread import PerThread
from main_api.rest.request_times import RequestTimes
from main_api.rest.requests import check_headers, query_of
from main_api.service.audit import entry as audit_entry
from main_api.service.audit.entry import Entry
from main_api.service.callers.throttling import claimed_name
from strongroom import limits, logs, tracing
from strongroom.errors import (
    InternalError,
    MethodNotAllowedError,
    NotAcceptableError,
    NotFoundError,
    StrongroomError,
)
from strongroom.metrics.instruments import Metrics

_UNAUTHENTICATED: Final = 401
_UNFORESEEN: Final = 500
_EVERY_PATH: Final = "*"
_NOTHING: Final = HttpPolicy(compress=False)
_log = logs.logger()
T = TypeVar("T")
Q = TypeVar("Q", bound=msgspec.Struct)


class StrongroomApp(Chalice):
    """The REST face's application object: `app(event, context)`, as Lambda calls it."""

    def __init__(self, app_name: str, current: Current) -> None:
        """Take the way to the use cases."""
        self._per_thread = PerThread()
        super().__init__(app_name, configure_logs=False)
        # Chalice would look for them in every request. What is binary is encoded in answers.py.
        self.api.binary_types = []
        self.operations: dict[tuple[str, str], Operation] = {}
        self._current = current
        self._times = RequestTimes(current.metrics, self.routes)
        self._cloudwatch = CloudWatch(current.metrics)

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
    def media_type(self) -> str:
        """Which of the media types that the operation answers in is wanted; only for views."""
        return self._per_thread.media_type

    def require_acceptable(self) -> None:
        """Go on with what is answered with content, before it is done; only for views.

        Raises:
            NotAcceptableError: The client has said that it cannot read it.
        """
        if self._per_thread.not_acceptable is not None:
            raise self._per_thread.not_acceptable

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

    @property
    def metrics(self) -> Metrics:
        """What this process counts with."""
        return self._current.metrics

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
        began_s = perf_counter()
        status = _UNFORESEEN
        mine = self._per_thread
        incoming = Incoming(event)
        mine.begin(incoming.trace.request_id)
        with tracing.entered(incoming.trace):
            try:
                refusal = self._answer(lambda: self._admit(incoming))
                if refusal is None:
                    with until_its_end(context):
                        answer = super().__call__(incoming.event, context)
                else:
                    answer = refusal.to_dict(self.api.binary_types)
                answer = self._concluded(answer)
                self._count(answer)
                answers.encode(answer, mine.parts, mine.codings)
                self._finish(answer, incoming)
                if context is not None:
                    answers.fit_into_lambda(answer)
                status = answer["statusCode"]
            finally:
                mine.begin(mine.request_id)
                audit_entry.enter(None)
                seconds = perf_counter() - began_s
                self._times.took(incoming.resource, incoming.method, status, seconds)
                self._cloudwatch.tell(context)
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
        origin = origin_of(headers, peer)
        try:
            caller = self.main.throttle.prove(headers.get("authorization"), origin)
        except StrongroomError as error:
            auditing.refused(self.main.audit, trace_of(headers), origin, error)
            raise
        self.main.quotas.require(caller.account)

    def refuse(self, error: StrongroomError, headers: dict[str, str]) -> dict[str, Any]:
        """Answer a request that never became an event."""
        request_id = trace_of(headers).request_id
        fields = {REQUEST_ID_HEADER: request_id, **self._cors_fields(headers)}
        answer = problems.response(error, request_id, fields).to_dict(self.api.binary_types)
        self._times.refused(answer["statusCode"])
        return answer

    def _admit(self, incoming: Incoming) -> Response | None:
        """Check path, method, token and body, in this order, before Chalice sees the request.

        The answer is that to OPTIONS, which anybody may ask.
        """
        if incoming.resource == _EVERY_PATH and incoming.method == options.METHOD:
            return Response("", {}, 204)
        methods = self.routes.get(incoming.resource)
        if methods is None:
            raise NotFoundError("no such path")
        if incoming.method == options.METHOD:
            return self._options(incoming, options.allowed(methods))
        if incoming.served_method not in methods:
            raise MethodNotAllowedError("allowed here: " + ", ".join(options.allowed(methods)))
        operation = self.operations.get((incoming.resource, incoming.served_method))
        self._identify(incoming, operation)
        is_known = self._per_thread.caller is not None
        more = incoming.prepare(limits.MESSAGE_BYTES_MAX if is_known else limits.SMALL_BYTES_MAX)
        if self._per_thread.caller is not None and more > 0:
            self.main.quotas.charge(self._per_thread.caller.account, more)
        return None

    def _identify(self, incoming: Incoming, operation: Operation | None) -> None:
        if operation is not None and Right.PUBLIC in operation.rights:
            return
        entry = self._begin(incoming, operation)
        if operation is None or operation.takes_token:
            self._per_thread.caller = self._let_in(incoming, entry)
        else:
            # It takes credentials of its own, which its view compares.
            named = incoming.named_client
            entry.claimed = claimed_name(named) or ""
            self._per_thread.attempt = self.main.throttle.attempt(incoming.origin, named)

    def _begin(self, incoming: Incoming, operation: Operation | None) -> Entry:
        """Begin what the audit log is told of a request."""
        route = self.routes[incoming.resource][incoming.served_method]
        act = auditing.act(route, incoming.served_method, operation)
        entry = auditing.begun(self.main.audit, act, incoming)
        self._per_thread.entry = entry
        audit_entry.enter(entry)
        return entry

    def _let_in(self, incoming: Incoming, entry: Entry) -> Caller:
        """Return who calls; by then it is on record what he is about to do, where it has to be."""
        caller = self.main.throttle.prove(incoming.headers.get("authorization"), incoming.origin)
        self.main.audit.identified(entry, caller)
        quotas = self.main.quotas
        if quotas.policies:
            quotas.admit(caller.account, incoming.body_bytes)
        self.main.audit.intend(entry, caller)
        return caller

    def _concluded(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Put on record how a request has ended; or answer that it cannot be."""
        mine = self._per_thread
        entry = mine.entry
        if entry is None:
            return answer
        outcome = auditing.outcome(answer)
        refusal = self._answer(lambda: self.main.audit.conclude(entry, outcome))
        if refusal is None:
            return answer
        mine.parts = ()
        return refusal.to_dict(self.api.binary_types)

    def _options(self, incoming: Incoming, allowed: list[str]) -> Response:
        patch = self.operations.get((incoming.resource, "PATCH"))
        return options.response(
            allowed, patch, incoming.headers, self._cors_fields(incoming.headers)
        )

    def _served(self, operation: Operation | None, view: Callable[[], Response]) -> Response:
        """Run a view once the request is one that its operation declares."""
        mine = self._per_thread
        mine.query = query_of(self.request, None if operation is None else operation.query)
        if operation is not None:
            check_headers(self.request, operation)
        codings = self._negotiate(operation) if operation is not None else AS_IT_IS
        response = view()
        if isinstance(response, answers.PartedResponse):
            mine.parts, mine.codings = response.parts, codings
        return response

    def _negotiate(self, operation: Operation) -> Codings:
        offered = operation.media_types
        if not offered:
            return AS_IT_IS
        mine, headers = self._per_thread, self.request.headers
        mine.vary = ["Accept"] if len(offered) > 1 else []
        try:
            mine.media_type = negotiation.media_type(headers.get("accept"), offered)
        except NotAcceptableError as error:
            # What may have no content is acceptable to everybody, until it turns out to have some.
            if not operation.may_have_no_content:
                raise
            mine.not_acceptable = error
        may_compress = self._http_policy().compress and not operation.holds_secret
        mine.vary += ["Accept-Encoding"] if may_compress else []
        return answers.wanted_codings(headers.get("accept-encoding"), may_compress=may_compress)

    def _count(self, answer: dict[str, Any]) -> None:
        """Count what became of a request: a failed authentication, bytes of an answer."""
        mine = self._per_thread
        if mine.attempt is not None and answer["statusCode"] == _UNAUTHENTICATED:
            self.main.throttle.failed(mine.attempt)
        if mine.caller is None:
            return
        quotas = self.main.quotas
        if quotas.policies:
            size_bytes = utf8_bytes(answer.get("body") or "")
            standings = quotas.settle(mine.caller.account, size_bytes)
            answer["headers"].update(rate_limit_fields.fields(quotas.policies, standings))

    def _finish(self, answer: dict[str, Any], incoming: Incoming) -> None:
        """Add what every answer has; nobody on the way may keep one (RFC 9111, 5.2.2.5)."""
        mine = self._per_thread
        fields = answer["headers"]
        fields[REQUEST_ID_HEADER] = mine.request_id
        fields.setdefault("Cache-Control", "no-store")
        of_page = self._cors_fields(incoming.headers)
        vary = [*mine.vary, *filter(None, [of_page.pop("Vary", "")])]
        fields |= of_page
        if vary:
            fields["Vary"] = ", ".join(vary)
        if incoming.is_head:
            answers.leave_out_content(answer)

    def _cors_fields(self, headers: dict[str, str]) -> dict[str, str]:
        """Return what is said to a web page of another origin."""
        if "origin" not in headers:
            return {}
        return cors.fields(self._http_policy(), headers)

    def _http_policy(self) -> HttpPolicy:
        """Return what settings decide; a process whose settings are none serves nothing else."""
        try:
            return self._current.http_policy()
        except StrongroomError:
            return _NOTHING

    def _answer(self, work: Callable[[], T]) -> T | Response:
        try:
            return work()
        except MethodNotAllowedError as error:
            allow = {"Allow": error.detail.partition(": ")[2]}
            return problems.response(error, self.request_id, allow)
        except StrongroomError as error:
            return problems.response(error, self.request_id)
        except Exception:  # noqa: BLE001 - the boundary: what nobody foresaw is logged, not shown
            _log.exception("request-failed")
            defect = InternalError("an internal error; quote the request id when you report it")
            return problems.response(defect, self.request_id)
