"""The alert rules and the dashboard ask for what is exported, and lie where they should."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import pytest
import typer.main

from cli.main import app
from infra.observability import dashboard
from infra.observability.__main__ import HERE, PAGE, files
from infra.observability.alerts import ALERTS, Alert
from processing_fn.rpc.operation_times import OK, OperationTimes
from strongroom.errors import StrongroomError
from strongroom.metrics.catalogue import METRICS
from strongroom.metrics.instruments import Metrics
from strongroom_pb.v1 import processing_pb2

TOKEN = re.compile(
    r'(?P<text>"[^"\n]*")|(?P<window>\[\d+[smhd]\])|(?P<word>[A-Za-z_][A-Za-z0-9_]*)'
    r"|(?P<number>\d+(\.\d+)?)|(?P<sign>=~|!~|!=|==|[-+*/<>={}(),])|(?P<space>\s+)"
)
COUNTED_BY = {"rate", "increase"}
FUNCTIONS = (
    COUNTED_BY | {"sum", "min", "max", "count", "topk", "changes", "time"} | {"histogram_quantile"}
)
WORDS = {"by", "and", "or"}
OF_EVERY_TARGET = {"job", "instance"}
SERIES = {
    f"{metric.name}{suffix}": metric
    for metric in METRICS
    for suffix in (("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",))
}


@dataclass(frozen=True)
class Asked:
    """One series that an expression asks for: with which labels, and whether as a rate."""

    series: str
    matchers: dict[str, str]
    as_rate: bool


class NotPromQLError(Exception):
    """An expression that these tests cannot read: then neither can they vouch for it."""


def _tokens(expression: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(expression):
        match = TOKEN.match(expression, at)
        if match is None:
            raise NotPromQLError(expression[at:])
        if match.lastgroup != "space":
            found.append((str(match.lastgroup), match[0]))
        at = match.end()
    return found


def asked(expression: str) -> list[Asked]:
    """Return what an expression asks for.

    Raises:
        NotPromQLError: It names what is no metric, no label of one, and no function.
    """
    tokens = _tokens(expression)
    if expression.count("(") != expression.count(")"):
        raise NotPromQLError("brackets")
    found: list[Asked] = []
    grouped: set[str] = set()
    at = 0
    while at < len(tokens):
        kind, text = tokens[at]
        at += 1
        if kind != "word" or text in FUNCTIONS:
            continue
        if text == "by":
            end = tokens.index(("sign", ")"), at)
            grouped |= {word for kind, word in tokens[at:end] if kind == "word"}
            at = end + 1
        elif text == "up" or text in SERIES:
            is_rate = at > 2 and tokens[at - 3][1] in COUNTED_BY
            matchers, at = _matchers(tokens, at)
            found.append(Asked(text, matchers, is_rate))
        elif text not in WORDS:
            raise NotPromQLError(f"{text} is not exported")
    known = {label for one in found for label in _labels(one.series)}
    if not grouped <= known:
        raise NotPromQLError(f"no label of these metrics: {grouped - known}")
    return found


def _matchers(tokens: list[tuple[str, str]], at: int) -> tuple[dict[str, str], int]:
    matchers: dict[str, str] = {}
    if tokens[at : at + 1] != [("sign", "{")]:
        return matchers, at
    end = tokens.index(("sign", "}"), at)
    inside = [one for one in tokens[at + 1 : end] if one != ("sign", ",")]
    for label, _, (_, value) in zip(*[iter(inside)] * 3, strict=True):
        matchers[label[1]] = value.strip('"')
    return matchers, end + 1


def _labels(series: str) -> set[str]:
    of_its_own = set(SERIES[series].labels) if series in SERIES else set()
    return of_its_own | OF_EVERY_TARGET | ({"le"} if series.endswith("_bucket") else set())


def _expressions() -> Iterator[tuple[str, str]]:
    """Yield every expression of the files in the repository, with where it stands."""
    rules = re.findall(r"- alert: (\w+)\n +expr: (.*)\n", (HERE / "alerts.yaml").read_text())
    for name, expression in rules:
        yield name, json.loads(expression)
    for panel in json.loads((HERE / "dashboard.json").read_text())["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']} {target['refId']}", target["expr"]


EXPRESSIONS = dict(_expressions())


def test_the_files_are_what_is_written_now() -> None:
    """The rules in the repository are others than those that the code says."""
    for path, text in files().items():
        assert path.read_text() == text, f"{path.name}: run `make observability`"


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_what_is_asked_for_is_exported(where: str) -> None:
    """An alarm waits for a metric that nobody exports, and never comes."""
    found = asked(EXPRESSIONS[where])
    assert found
    for one in found:
        assert one.matchers.keys() <= _labels(one.series), where
        if one.series == "up":
            continue
        is_counted = SERIES[one.series].kind != "gauge"
        assert not one.as_rate or is_counted, f"{where}: the rate of a gauge"
        if one.series.endswith("_bucket"):
            assert one.as_rate, f"{where}: buckets since the start, not of late"


@pytest.mark.parametrize(
    "expression",
    [
        "strongroom_made_up_total > 0",
        "rate(strongroom_cache_hits_totals[5m])",
        "strongroom_fsync_duration_seconds > 1",
        "sum by (route) (rate(strongroom_cache_hits_total[5m]))",
        "avg(strongroom_workers_live)",
        "max(strongroom_workers_live",
        "strongroom_workers_live ~ 3",
    ],
)
def test_an_expression_about_nothing_is_refused(expression: str) -> None:
    """These tests let everything pass."""
    with pytest.raises(NotPromQLError):
        asked(expression)


def _values(label: str) -> Iterator[str]:
    for expression in EXPRESSIONS.values():
        for one in asked(expression):
            if label in one.matchers:
                yield from one.matchers[label].split("|")


def test_the_values_that_are_asked_for_are_told() -> None:
    """A rule waits for an operation or a code that is called otherwise, and never fires."""
    numbers = processing_pb2.Operation.values()
    times = Metrics(), Metrics()
    for number in numbers:
        OperationTimes(times[0])[number, OK](0.0)
        OperationTimes(times[1], "-many")[number, OK](0.0)
    operations = {sample.labels[0] for metrics in times for sample in metrics.counted()}
    assert set(_values("operation")) <= operations
    assert set(_values("code")) <= {code.name for code in grpc.StatusCode}
    assert set(_values("status")) <= {"2xx", "3xx", "4xx", "5xx"}
    told = {OK, "had", "refused", "made", "denied"} | {one.code for one in _errors()}
    assert set(_values("outcome")) <= told


def _errors() -> Iterator[type[StrongroomError]]:
    todo = [StrongroomError]
    while todo:
        one = todo.pop()
        yield one
        todo += one.__subclasses__()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_says_what_to_do(alert: Alert) -> None:
    """Somebody is woken at night, and does not know by what, nor what to do."""
    assert alert.name.startswith("Strongroom")
    assert alert.means.endswith(".")
    assert alert.action.endswith(".")
    root = typer.main.get_command(app)
    for command in re.findall(r"`(strongroom [^`]+)`", alert.action):
        found = root
        for word in shlex.split(command)[1:]:
            found = found.commands[word]  # type: ignore[attr-defined]


def test_names_of_alerts_are_theirs_alone() -> None:
    """Two rules of one name silence each other."""
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)


def test_nothing_is_exported_for_nobody() -> None:
    """A figure costs its place in every scrape, and is on no picture."""
    shown = {
        SERIES[one.series].name
        for expression in EXPRESSIONS.values()
        for one in asked(expression)
        if one.series != "up"
    }
    assert shown == {metric.name for metric in METRICS}


def test_panels_lie_side_by_side() -> None:
    """Grafana draws one panel over another, or pushes them down the page."""
    panels = json.loads(dashboard.text())["panels"]
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        mine = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not mine & cells, panel["title"]
        cells |= mine
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(target["expr"] for panel in panels for target in panel.get("targets", []))


def test_the_page_names_metrics_that_there_are() -> None:
    """A reader looks for a metric that has another name."""
    named = set(re.findall(r"strongroom_[a-z_]+", PAGE.read_text()))
    assert named
    assert named <= {metric.name for metric in METRICS}
