"""Pages, rules and the dashboard are as the code writes them, and name nothing that does not exist."""

import json
import re
from pathlib import Path

import pytest

from notification_sender.telemetry.declared import DECLARED, PREFIX
from tools.links import anchors
from tools.log_words import EVENTS
from tools.observability.alerts import RUNBOOK, Alert, alerts
from tools.observability.objectives import Objective, load
from tools.observability.panels import ROWS
from tools.pages import WRITTEN

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy/observability/dashboard.json").read_text())
RULES = (ROOT / "deploy/observability/rules.yaml").read_text()
RUNBOOK_PAGE = (ROOT / RUNBOOK).read_text()

RECORDED = set(re.findall(r"record: \"?([\w:]+)", RULES))
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
EXPOSED = {it.whole + suffix for it in DECLARED.values() for suffix in SUFFIXES[it.kind]}
STANDARD = {"process_cpu_seconds_total", "process_resident_memory_bytes"}
LABELS = {label for it in DECLARED.values() for label in it.labels} | {"step", "le", "instance", "process"}


@pytest.mark.parametrize("path", WRITTEN)
def test_a_file_is_as_make_docs_writes_it(path: str) -> None:
    assert (ROOT / path).read_text() == WRITTEN[path]()


def named(text: str) -> set[str]:
    """The metrics that an expression names."""
    return set(re.findall(rf"\b(?:{PREFIX}|process_)[\w:]+", text))


def expressions() -> dict[str, str]:
    """Every query of the dashboard, and of its marks, by the title."""
    queries = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", ())
    }
    return queries | {mark["name"]: mark["expr"] for mark in DASHBOARD["annotations"]["list"]}


@pytest.mark.parametrize(("title", "expr"), expressions().items())
def test_every_metric_of_the_dashboard_exists(title: str, expr: str) -> None:
    assert named(expr), title
    assert named(expr) <= EXPOSED | RECORDED | STANDARD


def test_every_metric_of_the_rules_exists() -> None:
    assert named(RULES) <= EXPOSED | RECORDED


def test_every_label_of_the_rules_and_the_dashboard_exists() -> None:
    texts = [RULES, *expressions().values()]
    used = {label for text in texts for label in re.findall(r"[{,](\w+)[=!]~?\"", text)}
    used |= {it.strip() for text in texts for by in re.findall(r"by \(([\w, ]+)\)", text) for it in by.split(",")}
    assert used <= LABELS | {"version"}


def test_no_panel_lies_over_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert [it["title"] for it in DASHBOARD["panels"] if it["type"] == "row"] == list(ROWS)


@pytest.mark.parametrize("objective", load().steps, ids=lambda it: it.step)
def test_an_objective_is_a_boundary_of_a_bucket(objective: Objective) -> None:
    assert objective.within in objective.metric.bounds
    assert 0 < objective.budget < 1


@pytest.mark.parametrize("alert", alerts(load()), ids=lambda it: it.name)
def test_an_alert_has_a_section_in_the_runbook(alert: Alert) -> None:
    assert alert.anchor in anchors(RUNBOOK_PAGE)
    assert f"`{alert.name}`" in RUNBOOK_PAGE


def test_the_runbook_names_events_and_metrics_that_exist() -> None:
    names = set(re.findall(r"`([a-z_]+\.[a-z_]+)`", RUNBOOK_PAGE))
    steps = {it.step for it in load().steps}
    files = {it for it in names if it.endswith((".yaml", ".md", ".json"))}
    assert names - files - steps <= EVENTS.keys()
    assert named(RUNBOOK_PAGE) <= EXPOSED | RECORDED


def test_no_metric_has_a_label_with_values_without_end() -> None:
    labels = {label for it in DECLARED.values() for label in it.labels}
    assert not labels & {"unit", "work_unit_id", "notification", "notification_id", "destination", "host", "url"}
    assert [it.name for it in DECLARED.values() if "organization" in it.labels] == ["organization_outcomes_total"]
