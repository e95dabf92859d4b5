"""What was measured, for people: a table for the docs, and a picture."""

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

from bench.growth.measure import Result
from bench.growth.points import TITLES

INK, QUIET, LINE = "#1f2933", "#616e7c", "#d9dee3"
MEASURES = {
    "ratio": ("CPU time a webhook, to the floor's", "#0b6e99"),
    "calls": ("function calls a webhook", "#c05621"),
}
"""Field, its name in the legend, its colour."""

ACROSS = 4
"""Panels in a row; the last of all has the legend."""

COMMON = 2.0
"""The top of every scale, times the first point. What grows beyond it has a scale of its own."""

EXPLAINED = "1 is what the smallest takes.\nA level line: it costs nothing\nthat there is more of it."

COLUMNS = (
    "what grows",
    "",
    "CPU µs: floor, full job",
    "to the floor",
    "function calls",
    "for facts again",
    "calls to Redis",
    "msg/s",
)


def table(results: Mapping[str, Sequence[Result]]) -> str:
    """Markdown: a line a point."""
    lines = [
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
    ]
    for name, points in results.items():
        for place, it in enumerate(points):
            lines.append(
                f"| {'' if place else TITLES[name]} | {it.value:,} | {it.floor:,.0f}, {it.full:,.0f} | {it.ratio:.2f} "
                f"| {it.calls:,.0f} | {it.again:,.0f} | {it.scripts:.2f} | {it.rate:,.0f} |"
            )
    return "\n".join(lines)


def picture(results: Mapping[str, Sequence[Result]], file: Path) -> None:
    """A panel for each thing that grows, each measure beside what it is at the first point: flat is a level line."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - the table is made without it

    down = ceil((len(results) + 1) / ACROSS)
    figure = Figure(figsize=(10, 2.5 * down), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)  # type: ignore[union-attr]
    panels = list(figure.subplots(down, ACROSS, squeeze=False).flat)
    for axes, (name, points) in zip(panels, results.items(), strict=False):
        _panel(axes, TITLES[name], points)
    for axes in panels[len(results) :]:
        axes.axis("off")
    lines = [line for line in panels[0].lines if not line.get_label().startswith("_")]
    legend = panels[len(results)].legend(
        handles=lines, loc="center left", frameon=False, fontsize=9, labelcolor=INK, title=EXPLAINED, alignment="left"
    )
    legend.get_title().set(fontsize=9, color=QUIET)
    figure.savefig(file, dpi=144, facecolor="white")


def _panel(axes: Any, title: str, points: Sequence[Result]) -> None:
    places, top = range(len(points)), COMMON
    axes.axhline(1, color=LINE, linewidth=1, zorder=0)
    ends = []
    for field, (label, colour) in MEASURES.items():
        values = [getattr(it, field) / getattr(points[0], field) for it in points]
        top = max(top, 1.15 * max(values))
        axes.plot(places, values, label=label, color=colour, linewidth=2, marker="o", markersize=4.5, clip_on=False)
        ends.append((values[-1], colour))
    # The higher figure above, the other below: they may end in one place.
    for (value, colour), (up, side) in zip(sorted(ends), ((-2, "top"), (2, "bottom")), strict=True):
        place, text = (places[-1], value), f"{value:.2f}"
        axes.annotate(text, place, (6, up), textcoords="offset points", fontsize=8.5, color=colour, va=side)
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    axes.set(xlim=(-0.2, len(points) - 0.55), ylim=(0, top), xticks=list(places))
    axes.set_yticks([0, 1, top if top == COMMON else round(top)])
    axes.set_xticklabels([f"{it.value:,}" for it in points])
    axes.tick_params(length=0, labelsize=8.5, labelcolor=QUIET)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
