"""docs/recovery.md, entered by somebody whose master key is gone."""

from pathlib import Path

from tests.support import pages
from tests.support.deployment import CHAT
from tests.support.pages import Run, Terminal


def test_the_deployment_comes_back_as_the_page_shows(tmp_path: Path) -> None:
    """On the worst day the page's commands do not work."""
    make, export, recover = pages.steps(pages.page("docs/recovery.md"))
    run = Run(tmp_path)
    with Terminal(tmp_path, STRONGROOM_RECOVERY_PASSPHRASE="x") as terminal:
        terminal.enter(make.commands)
        run.arguments = ("--recovery-public-key", str(terminal.home / "safe" / "recovery.pem.pub"))
        run.start()
        try:
            with run.http() as http:
                assert http.put("/entity/chatdb", json={"kept": CHAT}).status_code == 201
            terminal.enter(export.commands, run)
        finally:
            assert run.stop() == 0
        (run.root / "kms" / "master-key.json").unlink()
        assert "Next: `strongroom up --root .local" in terminal.enter(recover.commands)
    run.start()
    try:
        with run.http() as http:
            assert http.get("/entity/chatdb", params={"key": "kept"}).json() == {"kept": CHAT}
    finally:
        assert run.stop() == 0
