"""docs/client.md: its programs are run, one after the other, and say what the page says."""

import re
import subprocess
import sys
from pathlib import Path

import strongroom_client
from strongroom_client import Client
from strongroom_client.admin import Admin
from tests.support.deployment import Deployment

TEXT = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
BLOCKS = re.findall(r"^```(python|text)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
PROGRAMS = [text for kind, text in BLOCKS if kind == "python"]
SAID = [text for kind, text in BLOCKS if kind == "text"]


def test_the_programs_say_what_the_page_says(deployment: Deployment) -> None:
    """A reader copies an example, and it does something else."""
    assert len(PROGRAMS) == len(SAID) == 7
    client_id, secret = deployment.credentials()
    done = subprocess.run(  # noqa: S603 - the project's own page
        [sys.executable, "-W", "error", "-c", "\n".join(PROGRAMS)],
        env={
            "STRONGROOM_URL": deployment.facts["http_url"],
            "STRONGROOM_CLIENT_ID": client_id,
            "STRONGROOM_CLIENT_SECRET": secret,
            "STRONGROOM_GRPC_ADDRESS": deployment.facts["grpc_address"],
            "STRONGROOM_GRPC_CA_FILE": deployment.facts["grpc_ca_file"],
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    with deployment.client() as client:
        left = [one.key for one in client.list("chatdb")]
        made = [key for key in left if key.startswith(("Chat_id", "async/", "many/"))]
        client.delete_many("chatdb", made)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "".join(SAID)


def test_every_method_is_told() -> None:
    """A reader does not learn of a method."""
    section = TEXT.partition("## Read and write")[2].partition("\n## ")[0]
    told = set(re.findall(r"`(\w+)\(", section))
    there = {name for name in vars(Client) if not name.startswith("_")}
    assert there - {"close", "from_environment"} <= told


def test_every_act_of_administration_is_told() -> None:
    """An administrator does not learn of a method, or reads of one that there is not."""
    section = TEXT.partition("## Administration")[2].partition("A change has")[0]
    told = set(re.findall(r"`(\w+)`", section))
    assert told == {name for name in vars(Admin) if not name.startswith("_")}


def test_every_error_is_told() -> None:
    """A reader does not learn what to do about an error, or reads of one that there is not."""
    table = TEXT.partition("## What can go wrong")[2]
    told = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    there = {name for name in strongroom_client.__all__ if name.endswith("Error")}
    assert told == there - {"StrongroomClientError"}
