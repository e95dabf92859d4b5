"""Runs the rules of deploy/observability over made-up series, with Prometheus's own program."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from notification_sender.telemetry.declared import PREFIX
from tests.services.program import find
from tools.observability.objectives import FOLDER

Series = Mapping[str, str]
"""What a scrape found, in promtool's words, by the name and labels without the prefix."""


def fires(name: str, series: Series, at: str, *, interval: str = "1m", **labels: str) -> dict[str, Any]:
    """A test: at that time the alert fires once, with these labels."""
    wanted = ",".join(f'{label}="{it}"' for label, it in labels.items())
    return _test(series, interval, _firing(name, labels), at, [{"labels": f"{{{wanted}}}", "value": 1}])


def silent(name: str, series: Series, at: str, *, interval: str = "1m") -> dict[str, Any]:
    """A test: at that time the alert does not fire."""
    return _test(series, interval, _firing(name, {}), at, [])


def _firing(name: str, labels: Mapping[str, str]) -> str:
    return f'count by ({", ".join(labels)}) (ALERTS{{alertname="NotificationSender{name}",alertstate="firing"}})'


def both(*tests: dict[str, Any]) -> dict[str, Any]:
    """One test of what several ask of the same series: they are evaluated once."""
    return tests[0] | {"promql_expr_test": [it for test in tests for it in test["promql_expr_test"]]}


def holds(expr: str, series: Series, at: str, *, interval: str = "1m") -> dict[str, Any]:
    """A test: an expression without labels is true."""
    return _test(series, interval, f"({expr}) * 0", at, [{"labels": "{}", "value": 0}])


def judge(folder: Path, tests: Sequence[dict[str, Any]], *, evaluated: str) -> str:
    """What promtool says against these tests; empty: all hold. ``evaluated``: the time between two evaluations.

    Raises:
        MissingProgramError: it is not installed.
    """
    file = folder / "tests.json"
    content = {
        "rule_files": [str(FOLDER / "rules.yaml")],
        "evaluation_interval": evaluated,
        "group_eval_order": ["notification-sender-objectives", "notification-sender-alerts"],
        "tests": list(tests),
    }
    file.write_text(json.dumps(content))
    command = [find("promtool"), "test", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own file
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _test(series: Series, interval: str, expr: str, at: str, wanted: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "interval": interval,
        "input_series": [{"series": PREFIX + name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": expr, "eval_time": at, "exp_samples": wanted}],
    }
