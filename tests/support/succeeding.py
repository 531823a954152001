"""A server whose processes succeed each other, and who can be told how the next one starts.

    python -m tests.support.succeeding DIRECTORY

Every answer is the pid of the process that gives it. In DIRECTORY lie `port`, once it is known, and
for each process that was started a file `started-<pid>`. A process does not come up as long as a
file `hold` is there, and ends at its start where there is one named `fail`.
"""

import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

from main_api.rest.asgi import Receive, Scope, Send
from main_api.rest.succession import Succession

BEGUN_S = 3.0
RETRIED_S = 0.5


def main() -> None:
    """Serve until SIGTERM."""
    directory = Path(sys.argv[1])

    def build() -> Any:  # noqa: ANN401 - an ASGI application
        (directory / f"started-{os.getpid()}").touch()
        while (directory / "hold").exists():
            time.sleep(0.01)
        if (directory / "fail").exists():
            raise SystemExit(1)
        return _answer

    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        (directory / "port.new").write_text(str(port))
        (directory / "port.new").rename(directory / "port")
        Succession(
            build,
            BEGUN_S,
            RETRIED_S,
            address="127.0.0.1",
            port=port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            log_level=LogLevels.error,
            # What granian would do instead would be done before a test could look.
            respawn_interval=0.1,
        ).serve_until_signal()


async def _answer(_scope: Scope, _receive: Receive, send: Send) -> None:
    body = str(os.getpid()).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


if __name__ == "__main__":
    main()
