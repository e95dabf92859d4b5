"""deploy/observability/dashboard.json: a dashboard for Grafana 10 and newer."""

import json
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from notification_sender.telemetry.declared import PREFIX
from tools.observability.objectives import Objectives
from tools.observability.panel import Panel
from tools.observability.panels import ROWS

COLUMNS = 24
HEIGHT = 8
NUMBER_HEIGHT = 4
"""Of panels with one number, in Grafana's rows."""

SOURCE = {"type": "prometheus", "uid": "${source}"}
COLORS = {"lines": 10, "stacked": 60}
"""How much of an area is filled, percent."""


def page(objectives: Objectives) -> str:
    """The whole file."""
    panels = _laid_out(objectives.limits)
    dashboard = {
        "title": "Notification sender",
        "uid": "notification-sender",
        "description": "Written by make docs from tools/observability: change it there.",
        "tags": ["notification-sender"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [{"name": "source", "label": "Source", "type": "datasource", "query": "prometheus"}]},
        "annotations": {"list": [_versions()]},
        "panels": list(panels),
    }
    return json.dumps(dashboard, indent=1, ensure_ascii=False) + "\n"


def _versions() -> dict[str, Any]:
    """Marks where a version appeared: many troubles begin with a new one."""
    metric = f"{PREFIX}build_info"
    return {
        "name": "New version",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": "blue",
        "expr": f"count by (version) ({metric}) unless count by (version) ({metric} offset 1m)",
        "titleFormat": "{{version}}",
    }


def _laid_out(limits: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    """Rows from top to bottom, panels from left to right as far as they fit."""
    numbers, top = count(1), 0
    for title, panels in ROWS.items():
        yield {"id": next(numbers), "type": "row", "title": title, "gridPos": _place(0, top, COLUMNS, 1), "panels": []}
        left, top, height = 0, top + 1, 0
        for it in panels:
            if left + it.width > COLUMNS:
                left, top, height = 0, top + height, 0
            own = NUMBER_HEIGHT if it.kind in {"number", "states"} else HEIGHT
            yield {"id": next(numbers), "gridPos": _place(left, top, it.width, own), **_panel(it, limits)}
            left, height = left + it.width, max(height, own)
        top += height


def _place(left: int, top: int, width: int, height: int) -> dict[str, int]:
    return {"x": left, "y": top, "w": width, "h": height}


def _panel(it: Panel, limits: Mapping[str, float]) -> dict[str, Any]:
    return {
        "type": {"number": "stat", "states": "state-timeline"}.get(it.kind, "timeseries"),
        "title": it.title,
        "description": it.text,
        "datasource": SOURCE,
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": expr, "legendFormat": legend or "__auto"}
            for number, (expr, legend) in enumerate(it.queries)
        ],
        "fieldConfig": {
            "defaults": {"unit": it.unit, "thresholds": _thresholds(it, limits), "custom": _drawn(it)},
            "overrides": [],
        },
        "options": _options(it),
    }


def _thresholds(it: Panel, limits: Mapping[str, float]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if it.threshold is not None:
        value = limits[it.threshold] if isinstance(it.threshold, str) else it.threshold
        steps.append({"color": "red", "value": value})
    return {"mode": "absolute", "steps": steps}


def _drawn(it: Panel) -> dict[str, Any]:
    if it.kind not in COLORS:
        return {}
    line = {"thresholdsStyle": {"mode": "dashed" if it.threshold is not None else "off"}}
    stacking = {"stacking": {"mode": "normal", "group": "A"}} if it.kind == "stacked" else {}
    return {"lineWidth": 1, "fillOpacity": COLORS[it.kind], "showPoints": "never", **line, **stacking}


def _options(it: Panel) -> dict[str, Any]:
    if it.kind == "number":
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area", "colorMode": "value"}
    if it.kind == "states":
        return {"showValue": "never", "mergeValues": True, "legend": {"displayMode": "hidden", "showLegend": False}}
    return {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["max", "lastNotNull"], "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
