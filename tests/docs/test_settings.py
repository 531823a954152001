"""The reference of settings and of limits says what the code does."""

import ast
import re
from pathlib import Path

import pytest

from docs.site import limits as limits_page
from docs.site import settings as page
from strongroom import limits
from strongroom.errors import InvalidArgumentError
from strongroom_client import ConfigurationError

REPOSITORY = Path(__file__).parents[2]
SOURCES = ("main_api", "processing_fn", "cli", "client", "layers/core/python/strongroom")
NAMED = re.compile(r"STRONGROOM_[A-Z_]*[A-Z]")
NEEDED_BY_SOME = {"MASTER_KEY_FILE", "SERVER_CERTIFICATE_FILE", "SERVER_KEY_FILE"}
NO_SETTINGS = {
    "STRONGROOM_PARENT_PID": "with which `up` tells its processes whose they are",
    "STRONGROOM_RATE": "a part of a name",
    "STRONGROOM_SERVER": "a part of a name",
}


def test_every_variable_that_the_code_names_is_told() -> None:
    """A setting can be found nowhere but in the code."""
    named = {
        name
        for source in SOURCES
        for path in (REPOSITORY / source).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for name in NAMED.findall(node.value)
    }
    told = {f"STRONGROOM_{name}" for name in page.VARIABLES}
    assert named - told == NO_SETTINGS.keys()


def test_every_variable_that_a_process_reads_is_told_and_no_other() -> None:
    """A setting is not told of, or one is told of that nothing reads."""
    read = {name for process in page.PROCESSES.values() for name in page.read_by(process)}
    assert read <= page.VARIABLES.keys()
    assert page.VARIABLES.keys() - read == {"PROFILE", "RECOVERY_PASSPHRASE", "TRANSPORT"}


@pytest.mark.parametrize("process", page.PROCESSES)
def test_a_default_is_what_holds_without_the_variable(process: str) -> None:
    """Somebody leaves a setting out, and has another value than the page says."""
    asked = page.PROCESSES[process]
    without = asked.read(page.environment(asked.needs))
    for name in page.read_by(asked) - asked.needs.keys():
        default = page.VARIABLES[name].default
        if default == page.REQUIRED:
            continue
        for value in (default, ""):
            told = page.environment({**asked.needs, name: value})
            assert asked.read(told) == without, (name, value)


@pytest.mark.parametrize("process", page.PROCESSES)
def test_what_is_called_required_is(process: str) -> None:
    """A process starts without what the page calls required."""
    asked = page.PROCESSES[process]
    for name in asked.needs.keys() - NEEDED_BY_SOME:
        left = {other: value for other, value in asked.needs.items() if other != name}
        with pytest.raises((InvalidArgumentError, ConfigurationError), match=name):
            asked.read(page.environment(left))


def test_what_a_variable_takes_is_told_of_every_one() -> None:
    """A reader has to try out what may stand in a setting."""
    facts = re.findall(
        r"^\*default\* (.*) · \*takes\* (.*) · \*read by\* (.*)$", page.page(), re.MULTILINE
    )
    assert len(facts) == len(page.VARIABLES)
    assert all(all(one) for one in facts)
    assert ("`60`", "a whole number from 1 to 1,000,000", "REST, gRPC") in facts
    assert ("none", "a number from 0.000001 to 1,000,000", "gRPC") in facts


def test_every_limit_is_told() -> None:
    """A bound is met by somebody who could not know of it."""
    told = {one.name for one in limits_page.bounds()}
    assert told == {name for name in vars(limits) if name.isupper() and not name.startswith("_")}
    by_name = {one.name: limits_page.written(one) for one in limits_page.bounds()}
    assert by_name["ENTITY_BYTES_MAX"] == "4 MiB"
    assert by_name["MESSAGE_BYTES_MAX"] == "4.0625 MiB"
    assert by_name["LEASE_SECONDS"] == "6 s"
    assert by_name["VERSION_MAX"] == "281,474,976,710,655"
    page_text = limits_page.page()
    assert all(f"`{name}`" in page_text for name in told)
