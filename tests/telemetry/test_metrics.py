"""The table of metrics, and the series of a worker that are built from it."""

import math

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from notification_sender.telemetry.calls import Calls
from notification_sender.telemetry.declared import DECLARED, PREFIX, Declared
from notification_sender.telemetry.loop_series import PolledSeries
from notification_sender.telemetry.metrics import Metrics

OF_A_WORKER = [it for it in DECLARED.values() if it.exported_by == "worker"]


def _families() -> dict[str, Metric]:
    """By the declared name. A worker that did nothing describes every family that it may expose."""
    collectors = [it for it in Metrics().registry._collector_to_names if not isinstance(it, ProcessCollector)]
    ours = [it for collector in collectors for it in collector.describe()]
    return {it.name.removeprefix(PREFIX) + ("_total" if it.type == "counter" else ""): it for it in ours}


def test_a_worker_exposes_the_declared_metrics_and_no_other() -> None:
    assert {name: (it.type, it.documentation) for name, it in _families().items()} == {
        it.name: (it.kind, it.text) for it in OF_A_WORKER
    }


@pytest.mark.parametrize("declared", DECLARED.values(), ids=lambda it: it.name)
def test_a_name_says_the_kind_and_the_unit(declared: Declared) -> None:
    assert declared.name.endswith("_total") == (declared.kind == "counter")
    assert ("seconds" in declared.name) == (declared.unit == "s")
    assert declared.name.endswith("_bytes") == (declared.unit == "bytes")


def test_a_value_of_the_fleet_is_no_number_until_it_is_set() -> None:
    metrics = Metrics()
    value = metrics.registry.get_sample_value
    assert math.isnan(value(f"{PREFIX}fleet_eta_seconds") or 0.0)
    metrics.eta.set(math.inf)
    assert value(f"{PREFIX}fleet_eta_seconds") == math.inf


def test_openmetrics_has_the_trace_of_a_call_and_the_plain_text_has_not() -> None:
    metrics = Metrics()
    Calls(metrics).observe("assets", "POST /assets/bulk", "200", 0.3, {"body": 0.1}, {}, trace_id="ab12")
    metrics.stages.observe("claim", 0.1)
    metrics.outcomes.count("unit", "done", "")
    metrics.organizations.count("org", "delivered")
    metrics.slot_seconds.follow(lambda: {"claim": 1.5})
    metrics.refresh()
    families = text_string_to_metric_families(metrics.expose(openmetrics=True).decode())
    exemplars = [it.exemplar for family in families for it in family.samples if it.exemplar]
    assert [it.labels for it in exemplars] == [{"trace_id": "ab12"}]
    assert b"ab12" not in metrics.expose()


@pytest.mark.parametrize("kind", [CounterMetricFamily, GaugeMetricFamily])
def test_polled_series_show_what_their_function_said_last(kind: type[CounterMetricFamily | GaugeMetricFamily]) -> None:
    registry, said = CollectorRegistry(), {"claim": 1.5}
    name = "s_total" if kind is CounterMetricFamily else "s"
    series = PolledSeries(kind, name, "text", "step", registry)
    series.follow(lambda: said)
    assert registry.get_sample_value(name, {"step": "claim"}) is None
    series.refresh()
    said["claim"] = 9.0
    assert registry.get_sample_value(name, {"step": "claim"}) == 1.5
