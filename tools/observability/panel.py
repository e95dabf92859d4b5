"""A panel of the dashboard, and the queries that many panels have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from notification_sender.telemetry.declared import PREFIX

RATE = "[$__rate_interval]"


@dataclass(frozen=True, slots=True)
class Panel:
    """``queries``: each with the legend of its series. ``width``: of 24 columns."""

    title: str
    text: str
    unit: str
    queries: Sequence[tuple[str, str]]
    kind: Literal["lines", "stacked", "states", "number"] = "lines"
    width: int = 8
    threshold: str | float | None = None
    """A line: a value, or the name of one of ``limits`` in objectives.yaml."""


def rate(metric: str, *by: str, labels: str = "") -> str:
    return f"sum by ({', '.join(by)}) (rate({PREFIX}{metric}{labels}{RATE}))"


def quantile(part: float, metric: str, *by: str) -> str:
    return f"histogram_quantile({part}, {rate(f'{metric}_bucket', 'le', *by)})"
