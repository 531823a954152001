"""What the application knows of the request that a thread is serving."""

import threading
from collections.abc import Sequence
from typing import Any

import msgspec
from chalice.app import Request

from main_api.domain.caller import Caller
from main_api.rest.negotiation import AS_IT_IS
from main_api.service.audit.entry import Entry
from main_api.service.callers.throttling import Attempt
from strongroom.errors import NotAcceptableError


class PerThread(threading.local):
    """One for each thread; it begins anew with each request."""

    request: Request | None = None
    lambda_context: Any = None

    def __init__(self) -> None:
        self.begin("")

    def begin(self, request_id: str) -> None:
        """Forget the request before."""
        self.request_id = request_id
        self.request = None
        self.caller: Caller | None = None
        self.attempt: Attempt | None = None
        self.query: msgspec.Struct | None = None
        self.entry: Entry | None = None
        self.media_type = ""
        self.not_acceptable: NotAcceptableError | None = None
        self.codings = AS_IT_IS
        self.parts: Sequence[bytes] = ()
        self.vary: list[str] = []
