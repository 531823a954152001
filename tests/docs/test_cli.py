"""docs/cli.md: its example is entered, and its tables are the command's."""

import re
import subprocess
from pathlib import Path

import pytest
import typer.main

from cli import session
from cli.data.commands import PANEL
from cli.main import app
from tests.support.commands import COMMAND, environment, others
from tests.support.deployment import Deployment

TEXT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


@pytest.mark.parametrize(
    "section", ["An example", "Templates, databases and clients", "Import and export"]
)
def test_an_example_says_what_the_page_says(
    section: str, deployment: Deployment, tmp_path: Path
) -> None:
    """A reader copies an example, and something else comes of it."""
    example = TEXT.partition(f"## {section}")[2]
    found = re.search(r"```sh\n(.*?)```\n\n```text\n(.*?)```", example, re.DOTALL)
    assert found is not None
    path = f"{Path(COMMAND).parent}:{others()['PATH']}"
    ended = subprocess.run(  # noqa: S603 - the project's own page
        ["/bin/bash", "-e", "-o", "pipefail", "-c", found[1]],
        env=others() | environment(deployment) | {"PATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == found[2]


def test_every_command_is_told() -> None:
    """A reader does not learn of a command."""
    commands = {
        name
        for name, command in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]
        if getattr(command, "rich_help_panel", None) == PANEL
    }
    assert set(re.findall(r"^\| `(\w+) DATABASE", TEXT, re.MULTILINE)) == commands
    assert len(commands) == 10


def test_every_exit_code_is_told() -> None:
    """A script meets an exit code that nobody has explained."""
    table = TEXT.partition("## Exit codes")[2]
    told = {int(code) for code in re.findall(r"^\| (\d) \|", table, re.MULTILINE)}
    assert told == {code for _, code in session.CODES} | {0, 2}
