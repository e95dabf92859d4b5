from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from notification_sender.processes.exposition import family, merged


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
    [one] = text_string_to_metric_families(family("x_total", "counter", "Words", [(1, 2), (2, False)]))
    assert [(it.labels, it.value) for it in one.samples] == [({"process": "1"}, 2), ({"process": "2"}, 0)]


def test_a_label_may_hold_what_others_take_for_the_end_of_a_line() -> None:
    odd = '# HELP a_total Words\na_total{t="x\u2028y"} 1.0\n'
    assert merged({1: odd}).split("\n")[1] == 'a_total{process="1",t="x\u2028y"} 1.0'
