"""Draws the dashboard from a Prometheus server: ``python -m tools.observability.picture URL FROM TO FILE``.

For machines without Grafana. Times are epoch seconds. It needs the packages of requirements/incident.lock.
"""

import json
import math
import re
import sys
import urllib.parse
import urllib.request
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tools.observability.objectives import FOLDER

LEGEND_COLUMNS = 2.2
"""Columns of a panel beside its lines."""

POINTS = 200
"""Samples of a series."""

SMALLEST_RATE_SECONDS = 20
"""Four scrapes of 5 s: what Grafana takes for $__rate_interval."""

ROW_INCHES, COLUMN_INCHES = 0.34, 0.8
MIB = 1024**2

UNITS = {"s": "s", "ops": "a second", "reqps": "a second"}
INK, FAINT, RED = "#1f2430", "#8a91a0", "#c4162a"

Series = list[tuple[str, list[float], list[float]]]
"""Legend, minutes and values of each."""


def main() -> None:
    url, begin, end, file = sys.argv[1:]
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    draw(dashboard, Source(url, float(begin), float(end))).savefig(file, dpi=100)


class Source:
    """Asks a Prometheus server for a range."""

    def __init__(self, url: str, begin: float, end: float) -> None:
        self._url = url
        self._begin, self._end = begin, end
        self._step = max(1.0, (end - begin) / POINTS)

    def series(self, target: dict[str, Any]) -> Series:
        """Of one query of a panel, the largest at the end first."""
        expr = target["expr"].replace("$__rate_interval", f"{max(SMALLEST_RATE_SECONDS, round(4 * self._step))}s")
        asked = {"query": expr, "start": self._begin, "end": self._end, "step": self._step}
        with urllib.request.urlopen(f"{self._url}/api/v1/query_range?{urllib.parse.urlencode(asked)}") as answer:  # noqa: S310 - an operator's own server
            found = json.load(answer)["data"]["result"]
        return [(legend(target["legendFormat"], it["metric"]), *self._points(it["values"])) for it in found]

    def _points(self, values: list[tuple[float, str]]) -> tuple[list[float], list[float]]:
        numbers = [float(text) for _, text in values]
        shown = [number if math.isfinite(number) else math.nan for number in numbers]
        return [(at - self._begin) / 60 for at, _ in values], shown


def legend(text: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), text.replace("__auto", "")).strip()


def draw(dashboard: dict[str, Any], source: Source) -> Figure:
    """The whole dashboard, each panel where Grafana would have it."""
    mpl.rcParams.update({"font.size": 7, "font.family": "DejaVu Sans", "text.color": INK, "axes.edgecolor": "#c7ccd6"})
    bottom = max(it["gridPos"]["y"] + it["gridPos"]["h"] for it in dashboard["panels"])
    figure = plt.figure(figsize=(24 * COLUMN_INCHES, (bottom + 1) * ROW_INCHES), facecolor="white")
    for panel in dashboard["panels"]:
        _draw_panel(figure, panel, bottom + 1, source)
    return figure


def _draw_panel(figure: Figure, panel: dict[str, Any], height: int, source: Source) -> None:
    at = panel["gridPos"]
    if panel["type"] == "row":
        top = 1 - (at["y"] + 0.75) / height
        figure.text(0.01, top, panel["title"], fontsize=11, fontweight="bold")
        return
    number = panel["type"] == "stat"
    left, low = (at["x"] + 0.55) / 24, 1 - (at["y"] + at["h"] - 0.7) / height
    beside = LEGEND_COLUMNS if panel["type"] == "timeseries" else 0
    axes = figure.add_axes((left, low, (at["w"] - 1 - beside) / 24, (at["h"] - (1.6 if number else 2.0)) / height))
    axes.set_title(panel["title"], loc="left", fontsize=8, fontweight="bold")
    series = [it for target in panel["targets"] for it in source.series(target)]
    if panel["fieldConfig"]["defaults"]["unit"] == "bytes":
        series = [(f"{name}, MiB", minutes, [value / MIB for value in values]) for name, minutes, values in series]
    kinds = {"stat": _draw_number, "state-timeline": _draw_states, "timeseries": _draw_lines}
    kinds[panel["type"]](axes, series, panel["fieldConfig"]["defaults"])


def _draw_number(axes: Axes, series: Series, defaults: dict[str, Any]) -> None:
    axes.axis("off")
    values = [values[-1] for _, _, values in series if values]
    text = "no data" if not values else ("never" if math.isnan(values[0]) else f"{values[0]:.3g}")
    unit = UNITS.get(defaults["unit"], "") if values and not math.isnan(values[0]) else ""
    axes.text(0.0, 0.35, f"{text} {unit}", fontsize=16 if values else 9, transform=axes.transAxes)


def _draw_states(axes: Axes, series: Series, _: dict[str, Any]) -> None:
    for number, (name, minutes, _values) in enumerate(series):
        axes.scatter(minutes, [number] * len(minutes), marker="s", s=14, linewidths=0)
        axes.annotate(name, (minutes[0], number + 0.3), fontsize=7)
    axes.set_yticks([])
    axes.set_ylim(-0.6, max(1, len(series)))


def _draw_lines(axes: Axes, series: Series, defaults: dict[str, Any]) -> None:
    largest = sorted(series, key=lambda it: -max((v for v in it[2] if not math.isnan(v)), default=0.0))[:8]
    if defaults["custom"].get("stacking") and largest:
        _draw_stacked(axes, largest)
    else:
        for name, minutes, values in largest:
            axes.plot(minutes, values, label=name, linewidth=1.1)
    _draw_limits(axes, defaults, [value for _, _, values in largest for value in values])
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)
    axes.grid(color="#e7e9ee", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    quiet = all(math.isnan(value) or value == 0 for _, _, values in largest for value in values)
    axes.set_ylim(0, 1 if quiet else None)
    axes.set_xlabel("minutes", fontsize=6, labelpad=1)
    axes.set_ylabel(UNITS.get(defaults["unit"], ""))
    if largest:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.05), fontsize=6, frameon=False, handlelength=1.2)
    else:
        axes.text(0.5, 0.45, "none", transform=axes.transAxes, ha="center", color=FAINT)


def _draw_stacked(axes: Axes, series: Series) -> None:
    minutes = sorted({at for _, times, _ in series for at in times})
    rows = [dict(zip(times, values, strict=True)) for _, times, values in series]
    heights = [[0.0 if math.isnan(row.get(at, 0.0)) else row.get(at, 0.0) for at in minutes] for row in rows]
    axes.stackplot(minutes, heights, labels=[name for name, _, _ in series], alpha=0.75)


def _draw_limits(axes: Axes, defaults: dict[str, Any], values: list[float]) -> None:
    """The limit of the alert, where it is not far above everything."""
    most = max((value for value in values if not math.isnan(value)), default=0.0)
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is not None and step["value"] <= max(4 * most, 1e-9):
            axes.axhline(step["value"], color=RED, linewidth=0.8, linestyle="--")


if __name__ == "__main__":
    main()
