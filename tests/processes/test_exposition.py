from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.openmetrics import exposition
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from notification_sender.processes.exposition import END, family, merged
from notification_sender.telemetry.declared import Declared


def text(count: int) -> str:
    registry = CollectorRegistry()
    Counter("plain", "Words with {braces} in them", registry=registry).inc(count)
    Counter("labelled", "Words", ["name"], registry=registry).labels('a "quoted} {value} 1').inc(count)
    Histogram("seconds", "Words", buckets=(1,), registry=registry).observe(count)
    return generate_latest(registry).decode()


def test_each_series_is_there_once_for_each_process_and_each_family_once() -> None:
    families = list(text_string_to_metric_families(merged({1: text(2), 3: text(5)})))
    names = [it.name for it in families]
    assert sorted(set(names)) == sorted(names)
    samples = {
        (it.name, it.labels["process"], it.labels.get("name")): it.value for one in families for it in one.samples
    }
    assert (samples["plain_total", "1", None], samples["plain_total", "3", None]) == (2, 5)
    assert samples["labelled_total", "3", 'a "quoted} {value} 1'] == 5
    assert samples["seconds_sum", "1", None] == 2


def test_the_series_of_a_process_that_does_not_answer_are_left_out() -> None:
    assert merged({}) == ""
    assert 'process="2"' not in merged({1: text(1)})


def test_a_family_of_the_parent_itself_can_be_read() -> None:
    it = Declared("x_total", "counter", "Words")
    [one] = text_string_to_metric_families(family(it, [(1, 2), (2, False)], openmetrics=False))
    assert [(it.labels, it.value) for it in one.samples] == [({"process": "1"}, 2), ({"process": "2"}, 0)]


def test_exemplars_stay_with_their_series_and_the_end_is_there_once() -> None:
    def exposed() -> str:
        registry = CollectorRegistry()
        Counter("plain", "Words", registry=registry).inc(1, {"trace_id": "ab{12"})
        Histogram("seconds", "Words", ["name"], buckets=(1,), registry=registry).labels("x").observe(
            2, {"trace_id": "cd"}
        )
        return exposition.generate_latest(registry).decode()

    own = family(Declared("x_total", "counter", "Words"), [(1, 2)], openmetrics=True)
    text = f"{merged({1: exposed(), 2: exposed()})}{own}{END}\n"
    samples = [it for one in openmetrics_families(text) for it in one.samples]
    traced = [(it.name, it.labels["process"], it.exemplar.labels["trace_id"]) for it in samples if it.exemplar]
    assert sorted(traced) == [
        (name, number, trace)
        for name, trace in (("plain_total", "ab{12"), ("seconds_bucket", "cd"))
        for number in ("1", "2")
    ]


def test_a_label_may_hold_what_others_take_for_the_end_of_a_line() -> None:
    odd = '# HELP a_total Words\na_total{t="x\u2028y"} 1.0\n'
    assert merged({1: odd}).split("\n")[1] == 'a_total{process="1",t="x\u2028y"} 1.0'
