"""docs/tutorial.md, entered as a newcomer would, from the first command to the last."""

import re
from pathlib import Path

from tests.support import pages
from tests.support.pages import Run, Terminal

TEXT = pages.page("docs/tutorial.md")
START = re.compile(r'make run ARGS="(.*)"\n')


def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    """A newcomer's commands fail, or answer something else than the tutorial says."""
    (setup, *steps) = pages.steps(TEXT)
    assert setup.commands.startswith("make setup\n")
    starts = [n for n, step in enumerate(steps) if START.fullmatch(step.commands)]
    assert len(starts) == 2
    run = Run(tmp_path)
    with Terminal(tmp_path, STRONGROOM_RECOVERY_PASSPHRASE="a passphrase") as terminal:
        terminal.enter(setup.commands.replace("make setup", ""))
        try:
            for n, step in enumerate(steps):
                if n in starts:
                    options = START.fullmatch(step.commands)[1]  # type: ignore[index]
                    run.arguments = tuple(options.replace("$HOME", str(terminal.home)).split())
                    if run.facts:  # what names the deployment stays exported
                        run.arguments += ("--http", run.facts["http_url"].removeprefix("http://"))
                    run.start()
                elif step.commands == "rm -r .local\n":
                    assert run.stop() == 0
                    terminal.enter(step.commands)
                else:
                    step.compare(terminal.enter(step.commands, run if run.facts else None))
        finally:
            assert run.stop() == 0


def test_nothing_is_left_behind_by_what_it_says() -> None:
    """What the last line removes is not all that the tutorial has made."""
    made = {f"{name}" for name in re.findall(r"cat > (\S+) <<", TEXT)} | {".local"}
    made |= {f"~/{name}" for name in re.findall(r"~/(\w+)", TEXT)}
    (removed,) = re.findall(r"`rm -r (.*?)`", TEXT)
    assert set(removed.split()) == made
