"""Structured logs, one JSON object a line on standard error, redacted by an allow-list.

Only the fields named here are written; any other one is replaced by its name, so that a document, a
token or an entity key that somebody passes by mistake does not reach a disk (design.md section 5,
invariant 4). Of an exception the type and the place are logged, not its text: the text of a
library's error may quote what it was given. The same goes for what libraries log themselves, and
for exceptions that nobody has caught, which Python would print with their text.
"""

import logging
import sys
import threading
import traceback
from collections.abc import MutableMapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, TextIO, cast

import structlog

from strongroom import tracing

Fields = MutableMapping[str, Any]
_ALLOWED: Final = frozenset(
    {"event", "level", "timestamp", "process", "request_id", "worker_id", "client_id", "database"}
    | {"schema_id", "file_id", "key_id", "version", "code", "status", "method", "route", "address"}
    | {"lease_seconds", "signal", "error", "where", "reason", "deployment", "count", "port", "pid"}
    | {"job_id", "issuer", "trace_id", "until", "waiting"}
)


def configure(process: str) -> None:
    """Set logging up for a process, once, from its main module.

    What libraries log from warnings on, and what nobody catches, is written here as well.
    """
    _write_as(process)
    logging.basicConfig(level=logging.WARNING, handlers=[LibraryHandler()], force=True)
    sys.excepthook = lambda kind, error, trace: _uncaught((kind, error, trace))
    sys.unraisablehook = lambda args: _uncaught((args.exc_type, args.exc_value, args.exc_traceback))
    threading.excepthook = _uncaught_in_thread


class LibraryHandler(logging.Handler):
    """Writes that a library has logged something, and where; its text may quote anything."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        write = logger().error if record.levelno >= logging.ERROR else logger().warning
        write(
            "library",
            reason=record.name,
            where=[f"{record.filename}:{record.lineno}"],
            exc_info=record.exc_info,
        )


class _Lines:
    """A stream that may be a file on a full disk, or a pipe whose reader has gone.

    What it does not take is lost: nothing that is done may fail, and no thread end, for want of a
    line. A lease is renewed by threads that log.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def _write_as(process: str) -> None:
    structlog.configure(
        processors=[
            partial(_name_process, process),
            _name_request,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _describe_exception,
            _redact,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Lines(sys.stderr))),
    )


def logger() -> structlog.typing.FilteringBoundLogger:
    """Return a logger; it is bound to the configuration at its first use."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return bound


def _name_process(process: str, _logger: object, _name: str, fields: Fields) -> Fields:
    fields["process"] = process
    return fields


def _name_request(_logger: object, _name: str, fields: Fields) -> Fields:
    """Say in which request this happens, where in one."""
    trace = tracing.current()
    if trace.request_id:
        fields.setdefault("request_id", trace.request_id)
    if trace.trace_id:
        fields["trace_id"] = trace.trace_id
    return fields


def _describe_exception(_logger: object, _name: str, fields: Fields) -> Fields:
    given = fields.pop("exc_info", None)
    if given:
        kind, _, trace = given if isinstance(given, tuple) else sys.exc_info()
        if kind is not None:
            frames = traceback.extract_tb(trace)
            fields["error"] = kind.__name__
            fields["where"] = [f"{f.filename.rpartition('/')[2]}:{f.lineno}" for f in frames]
    return fields


def _redact(_logger: object, _name: str, fields: Fields) -> Fields:
    return {k: v if k in _ALLOWED else "(not on the allow-list)" for k, v in fields.items()}


def _uncaught(what: tuple[object, ...]) -> None:
    logger().error("uncaught", exc_info=what)


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:
        _uncaught((args.exc_type, args.exc_value, args.exc_traceback))


# Where no main module sets logging up, on Lambda, the allow-list is in force all the same.
_write_as("strongroom")
