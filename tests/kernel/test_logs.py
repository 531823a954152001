"""What reaches a log, and what never does: seen on the standard error of a real process."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

PROLOGUE = """
from strongroom import logs
logs.configure("tester")
log = logs.logger()
"""


def logged(script: str) -> tuple[list[dict[str, Any]], str]:
    """Run a script that logs; return its lines, parsed and as they are."""
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", PROLOGUE + script], capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stderr.splitlines()], done.stderr


def test_a_line_is_an_object_with_what_an_operator_needs() -> None:
    """An operator cannot find out which request failed where."""
    ((line,), _) = logged('log.info("served", request_id="r-1", database="chatdb", version=3)')
    assert {k: v for k, v in line.items() if k != "timestamp"} == {
        "event": "served",
        "level": "info",
        "process": "tester",
        "request_id": "r-1",
        "database": "chatdb",
        "version": 3,
    }
    assert line["timestamp"].endswith("Z")


def test_a_field_that_is_not_on_the_list_is_not_written() -> None:
    """A document, a token, a secret or an entity key lies readable in a log."""
    names = [
        *("entity_key", "key", "document", "body", "token", "authorization", "secret"),
        *("client_secret", "material", "plaintext", "headers", "query", "params", "detail"),
        *("exception", "stack", "exc_info_text", "Database", "EVENT"),
    ]
    (lines, text) = logged(
        f"for name in {names!r}:\n"
        '    log.info("x", **{name: "hunter2"})\n'
        '    log.bind(**{name: "hunter2"}).warning("x")\n'
        '    log.error("x", **{name: {"nested": ["hunter2"]}})\n'
    )
    assert len(lines) == 3 * len(names)
    assert "hunter2" not in text
    for number, line in enumerate(lines):
        assert names[number // 3] in line


def test_of_an_exception_only_type_and_place_are_written() -> None:
    """The text of a library's exception, which quotes a document, lies readable in a log."""
    ((line,), text) = logged(
        """
def inner():
    hunter2 = "hunter2"
    raise ValueError(f"cannot parse {hunter2!r}") from KeyError(hunter2)
try:
    inner()
except ValueError as error:
    error.add_note("hunter2 was the password")
    log.exception("request-failed", request_id="r-1")
"""
    )
    assert "hunter2" not in text
    assert line["event"] == "request-failed"
    assert line["error"] == "ValueError"
    assert [place.rpartition(":")[0] for place in line["where"]] == ["<string>", "<string>"]


def test_a_line_stays_a_line() -> None:
    """Whoever chooses a text that is logged writes lines of their own into the log."""
    (lines, text) = logged('log.info("x", database="a\\n{\\"event\\": \\"forged\\"}\\r\\x1b[0m")')
    assert len(lines) == 1
    assert "\x1b" not in text


UNCAUGHT = {
    "in the main thread": "raise ValueError('hunter2')",
    "in another thread": """
import threading
def work():
    raise ValueError('hunter2')
threading.Thread(target=work).start()
""",
    "where nothing can be raised": """
class Thing:
    def __del__(self):
        raise ValueError('hunter2')
Thing()
""",
    "in a task that nobody asks": """
import asyncio
async def fail():
    raise ValueError('hunter2')
async def main():
    asyncio.ensure_future(fail())
    await asyncio.sleep(0.01)
asyncio.run(main())
""",
    "logged by a library": """
import logging
try:
    raise ValueError('hunter2')
except ValueError as error:
    logging.getLogger("some.library").exception(f"cannot parse: {error}")
""",
}


@pytest.mark.parametrize("case", UNCAUGHT)
def test_what_nobody_has_caught_is_told_without_its_text(case: str) -> None:
    """A thread dies of an error whose text quotes a document, and Python prints it into the log."""
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", PROLOGUE + UNCAUGHT[case]],
        capture_output=True,
        text=True,
        check=False,
    )
    (line,) = [json.loads(text) for text in done.stderr.splitlines()]
    assert "hunter2" not in done.stderr + done.stdout
    assert (line["error"], line["process"]) == ("ValueError", "tester")
    assert line["where"]


def test_a_warning_of_a_library_names_the_library() -> None:
    """An operator does not learn that a library complains, or a document is quoted by it."""
    ((line,), text) = logged(
        "import logging\n"
        'logging.getLogger("some.library").warning("odd: %s", "hunter2")\n'
        'logging.getLogger("some.library").info("even: %s", "hunter2")\n'
    )
    assert "hunter2" not in text
    assert (line["event"], line["level"], line["reason"]) == ("library", "warning", "some.library")


def test_a_thread_that_ends_on_purpose_is_no_error() -> None:
    """A log tells of errors that are none."""
    (lines, _) = logged("import threading\nthreading.Thread(target=lambda: exit(0)).start()\n")
    assert lines == []


@pytest.mark.parametrize("lost_to", ["a full disk", "a pipe whose reader has gone"])
def test_what_cannot_be_logged_stops_nothing(lost_to: str) -> None:
    """A worker would lose its lease and its threads because the disk of its log is full."""
    script = """
import threading
def serve():
    log.info("served")
    done.set()
done = threading.Event()
threading.Thread(target=serve).start()
assert done.wait(10)
import logging
logging.warning("of a library")
print("goes on")
"""
    if lost_to == "a full disk":
        stderr = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, stderr = os.pipe()
        os.close(reader)
    try:
        done = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, "-c", PROLOGUE + script],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            check=False,
        )
    finally:
        os.close(stderr)
    assert done.stdout == "goes on\n"
