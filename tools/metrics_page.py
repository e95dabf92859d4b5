"""docs/reference/metrics.md: every metric, with its kind, unit, labels and buckets."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector

from notification_sender.telemetry.declared import GROUPS, PREFIX, SECONDS, STEP_SECONDS, Declared
from tools.observability.objectives import Objective, load
from tools.tables import table

HEAD = f"""\
# Metrics

<!-- Written by `make docs` from notification_sender/telemetry/declared.py: change that file. -->

Which metrics does a worker expose on `/metrics`, and what do their labels mean? The names below follow `{PREFIX}`.

- No label has values for work units, notifications, destinations or addresses. Only
  `organization_outcomes_total` names organizations: the busiest (`NS_METRICS_TOP_ORGANIZATIONS`).
- A client that accepts `application/openmetrics-text` gets OpenMetrics. There, the buckets of `api_call_seconds` have
  exemplars: the `trace_id` of the `traceparent` that the API got. Prometheus reads them with
  `--enable-feature=exemplar-storage`.
- With `run --processes`, every series has the label `process` as well.
- Values of the fleet are the same in every process: take their maximum. They are NaN until the first report was read.

What to do with them: `deploy/observability` has [rules and a dashboard](../how-to/watch-the-fleet.md).
"""

BUCKETS = """
## Buckets

The upper bounds of histograms, in seconds. Each [objective](#objectives) is one of them.
"""

OBJECTIVES = """
## Objectives

Each step of `deploy/observability/objectives.yaml`, and how much of it must be how fast.
"""

STANDARD = """
## Standard metrics

On Linux, each worker exposes its process under the usual names.
"""


def page() -> str:
    """The whole page."""
    return "\n".join((HEAD, *_groups(), BUCKETS, *_buckets(), OBJECTIVES, *_objectives(), STANDARD, *_standard(), ""))


def _groups() -> Iterator[str]:
    for title, metrics in GROUPS.items():
        yield from (f"## {title}", "")
        yield from table(("metric", "kind", "unit", "labels", "meaning"), map(_metric, metrics))
        yield ""


def _metric(it: Declared) -> tuple[str, ...]:
    labels = "<br>".join(f"`{name}`: {meaning}" for name, meaning in it.labels.items())
    return f"`{it.name}`", it.kind, "" if it.unit == "1" else it.unit, labels, it.text


def _buckets() -> Iterator[str]:
    rows = (("`stage_seconds`", STEP_SECONDS), ("all others", SECONDS))
    yield from table(("histogram", "bounds"), ((name, " ".join(f"{it:g}" for it in bounds)) for name, bounds in rows))


def _objectives() -> Iterator[str]:
    yield from table(("step", "within", "share"), map(_objective, load().steps))


def _objective(it: Objective) -> tuple[str, ...]:
    within = f"{it.within:g} s" if it.within >= 1 else f"{1000 * it.within:g} ms"
    return f"`{it.step}`", within, f"{100 * it.share:g} %"


def _standard() -> Iterator[str]:
    families = sorted(ProcessCollector(registry=CollectorRegistry()).collect(), key=lambda it: it.name)
    names = {it.name: f"{it.name}_total" if it.type == "counter" else it.name for it in families}
    yield from table(
        ("metric", "kind", "meaning"),
        ((f"`{names[it.name]}`", it.type, it.documentation.rstrip(".")) for it in families),
    )
