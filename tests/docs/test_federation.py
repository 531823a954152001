"""docs/federation.md: what it shows is taken as it stands, and its table is the record's."""

import re
from pathlib import Path

import msgspec
import pytest

from main_api.domain.trusted_issuers import TrustedIssuer

TEXT = (Path(__file__).parents[2] / "docs" / "federation.md").read_text()
SENT = re.findall(r"-d '(\{.*?\n\})'", TEXT, re.DOTALL)
SHOWN = re.findall(r"^```json\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def test_there_are_examples() -> None:
    """The tests below look at nothing."""
    assert (len(SENT), len(SHOWN)) == (1, 3)


@pytest.mark.parametrize("example", [*SENT, *SHOWN])
def test_an_example_is_an_issuer(example: str) -> None:
    """An administrator copies an example, and it is refused."""
    said = msgspec.json.decode(example, type=TrustedIssuer)
    assert said.rules
    assert said.issuer.startswith("https://")


def test_the_table_has_every_member() -> None:
    """A reader does not learn of a setting of an issuer, or looks for one that is not there."""
    told = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)
    assert sorted(told) == sorted(TrustedIssuer.__struct_fields__)
