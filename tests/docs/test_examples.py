"""The examples of docs/examples, run as a reader would run them."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.deployment import Deployment

CLIENT = Path(__file__).parents[2] / "docs" / "examples" / "grpc_client.py"
SAYS = re.compile(
    r"put Chat_grpc: version \d+\n"
    r'got Chat_grpc: {"chat": \[{"type": "user", "text": "Hello over gRPC"}\]}\n'
)


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the example with its own interpreter process."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("STRONGROOM_")}
    return subprocess.run(  # noqa: S603 - our own example
        [sys.executable, str(CLIENT), *arguments],
        env=inherited | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_grpc_client_with_a_ready_file(deployment: Deployment) -> None:
    """A reader who copies the gRPC example gets an error."""
    done = run("--ready-file", str(deployment.ready_file))
    assert done.returncode == 0, done.stderr
    assert SAYS.fullmatch(done.stdout), done.stdout


def test_the_grpc_client_with_arguments(deployment: Deployment) -> None:
    """The example serves only who has a ready file."""
    client_id, secret = deployment.credentials()
    done = run(
        "--address",
        deployment.facts["grpc_address"],
        "--ca-file",
        deployment.facts["grpc_ca_file"],
        STRONGROOM_CLIENT_ID=client_id,
        STRONGROOM_CLIENT_SECRET=secret,
    )
    assert done.returncode == 0, done.stderr
    assert SAYS.fullmatch(done.stdout), done.stdout


def test_the_grpc_client_with_a_wrong_secret(deployment: Deployment) -> None:
    """A wrong secret in the environment is passed over in silence for the file's."""
    done = run("--ready-file", str(deployment.ready_file), STRONGROOM_CLIENT_SECRET="wrong")
    assert done.returncode != 0
    assert "UNAUTHENTICATED" in done.stderr


def test_the_grpc_client_says_what_it_was_not_given() -> None:
    """A reader who leaves something out gets a stack trace."""
    done = run("--address", "127.0.0.1:1")
    assert done.returncode == 2
    assert "not given: client_id, client_secret, grpc_ca_file" in done.stderr
