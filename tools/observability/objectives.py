"""Reads deploy/observability/objectives.yaml."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.utils import floatToGoString

from notification_sender.telemetry.declared import DECLARED, Declared
from tools.plain_yaml import read

FOLDER = Path(__file__).parents[2] / "deploy" / "observability"

_DURATION = re.compile(r"(\d+)(ms|s|m)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True)
class Objective:
    """``share``: the part of what is observed in a step that must be within ``within`` s."""

    step: str
    within: float
    share: float

    @property
    def metric(self) -> Declared:
        """The histogram that is judged."""
        return DECLARED["api_call_seconds" if self._api else "stage_seconds"]

    @property
    def budget(self) -> float:
        """The part that may be slow."""
        return round(1 - self.share, 6)

    @property
    def all(self) -> str:
        """Selects the number of observations."""
        return f"{self.metric.whole}_count{{{self._labels}}}"

    @property
    def good(self) -> str:
        """Selects the number of those within the objective."""
        answered = ',result=~"2..|404"' if self._api else ""
        return f'{self.metric.whole}_bucket{{{self._labels},le="{floatToGoString(self.within)}"{answered}}}'

    @property
    def _api(self) -> str:
        return self.step.removeprefix("api.") if self.step.startswith("api.") else ""

    @property
    def _labels(self) -> str:
        return f'api="{self._api}"' if self._api else f'stage="{self.step}"'


@dataclass(frozen=True, slots=True)
class Objectives:
    """The whole file. ``limits``: durations in seconds, others as they are written."""

    steps: tuple[Objective, ...]
    least_observations: int
    limits: Mapping[str, float]


def load(path: Path = FOLDER / "objectives.yaml") -> Objectives:
    """Read the file.

    Raises:
        ValueError: a duration or a share cannot be read.
    """
    content: dict[str, Any] = read(path.read_text())
    steps = (Objective(it["step"], seconds(it["within"]), float(it["share"]) / 100) for it in content["objectives"])
    limits = {name: seconds(it) if isinstance(it, str) else float(it) for name, it in content["limits"].items()}
    return Objectives(tuple(steps), content["least_observations"], limits)


def module(known: Objectives) -> str:
    """The file as Python, for the commands: the package has no file of ``deploy/``."""
    rows = [f'    ("{it.step}", {float(it.within)}, {round(it.share, 6)}),' for it in known.steps]
    head = '"""The objectives of deploy/observability/objectives.yaml. `make docs` writes this file."""'
    parts = [head, "", f"LEAST_OBSERVATIONS = {known.least_observations}", ""]
    parts += ["OBJECTIVES: tuple[tuple[str, float, float], ...] = (", *rows, ")"]
    return "\n".join([*parts, '"""Step, seconds, and the part of what is observed that must be within them."""', ""])


def seconds(text: str) -> float:
    """Of a duration such as ``250ms``.

    Raises:
        ValueError: it is none.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text}: a duration is a whole number of ms, s or m")
    return round(int(found[1]) * _SECONDS[found[2]], 3)
