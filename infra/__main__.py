"""`python -m infra`: write the templates of the stages. `cdk.json` names it as the app.

The CDK's own command line takes one stage at a time: `--context stage=prod`.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Final

import msgspec

from infra import node, stage

_PACKAGE: Final = Path("build/lambda")


def main() -> int:
    """Synthesize; 1 where something is missing, or a template is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m infra", description=__doc__)
    parser.add_argument("--stage", action="append", help="which; all of them without it")
    parser.add_argument("--stages", type=Path, default=stage.STAGES, help="where their files are")
    parser.add_argument("--package", type=Path, default=_PACKAGE, help="what `make package` built")
    parser.add_argument("--output", type=Path, default=Path("build/cdk"))
    given = parser.parse_args()
    if not (given.package / "layer.zip").is_file():
        sys.stderr.write(f"infra: {given.package} has no package in it; make package first\n")
        return 1
    node.choose()
    from infra import synthesis  # noqa: PLC0415 - jsii starts Node at import

    for name in given.stage or _asked_for() or stage.names():
        output = given.output / name
        try:
            settings = stage.load(name, given.stages)
        except ValueError as error:
            sys.stderr.write(f"infra: {error}\n")
            return 1
        # The CDK's command line says where it looks for the result.
        told = os.environ.get("CDK_OUTDIR")
        if told is None:
            shutil.rmtree(output, ignore_errors=True)
        synthesis.build(settings, given.package.absolute(), Path(told) if told else output).synth()
    return 0


def _asked_for() -> list[str]:
    """Return the stage that `cdk --context stage=...` names."""
    context = msgspec.json.decode(os.environ.get("CDK_CONTEXT_JSON", "{}"))
    return [context["stage"]] if "stage" in context else []


if __name__ == "__main__":
    sys.exit(main())
