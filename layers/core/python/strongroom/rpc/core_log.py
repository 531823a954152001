"""gRPC core's own log, which no process of ours writes.

gRPC core writes to standard error what it likes, as it is. Among that is the server name that a
handshake asks for, line breaks included: whoever reaches a port could write entries of his own into
the log before he has proven anything (seen with grpcio 1.85). What becomes of a call is told by its
status, which we log ourselves.
"""

import os
from typing import Final

_VERBOSITY: Final = "GRPC_VERBOSITY"


def silence() -> None:
    """Switch it off, unless the environment says otherwise; to be called before `import grpc`."""
    os.environ.setdefault(_VERBOSITY, "NONE")
