"""`python -m infra.observability [--check]`: write rules, dashboard, runbook; or compare them."""

import sys
from pathlib import Path
from typing import Final

from infra.observability import dashboard, rules
from infra.observability.alerts import ALERTS

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parents[1] / "docs" / "observability.md"
_BEGIN: Final = "<!-- alerts: written by `make observability` -->\n"
_END: Final = "<!-- end -->"


def files() -> dict[Path, str]:
    """Return what the files have to contain."""
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return {
        HERE / "alerts.yaml": rules.text(ALERTS),
        HERE / "dashboard.json": dashboard.text(),
        PAGE: f"{before}{_BEGIN}\n{rules.table(ALERTS)}\n{_END}{after}",
    }


def main() -> int:
    """Write; or with --check, end with 1 where a file is not what would be written."""
    wanted = files()
    stale = [path for path, text in wanted.items() if _present(path) != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stderr.write(f"{path.name} is stale: run `make observability`\n")
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path])
    return 0


def _present(path: Path) -> str:
    return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
