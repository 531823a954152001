"""What the REST face's server writes of errors: seen on the outputs of a real process."""

import json
import subprocess
import sys

SCRIPT = """
import asyncio
from granian.log import LogLevels, configure_logging, logger
from main_api.rest.__main__ import configure_logs
from main_api.rest.asgi import AsgiAdapter

class Headers:
    def __iter__(self):
        raise ValueError("hunter2")

configure_logging(LogLevels.error)
configure_logs()
try:
    asyncio.run(AsgiAdapter(None, None)({"headers": Headers()}, None, None))
except ValueError as error:
    logger.error(f"Application callable raised an exception: {error}")
"""


def test_an_error_that_the_server_catches_is_told_without_its_text() -> None:
    """Granian prints an error of ours with its text, which quotes a document, into the log."""
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    assert "hunter2" not in done.stdout + done.stderr
    ours, granians = map(json.loads, done.stderr.splitlines())
    assert (ours["event"], ours["error"]) == ("request-failed", "ValueError")
    assert (granians["event"], granians["reason"]) == ("library", "_granian")
