"""What an API says of its own work makes only so many series."""

from notification_sender.telemetry.calls import MAX_SERVER_NAMES, Calls
from notification_sender.telemetry.metrics import Metrics


def test_an_api_has_so_many_names_of_its_own_and_the_rest_is_one() -> None:
    metrics = Metrics()
    calls = Calls(metrics)
    for number in range(3 * MAX_SERVER_NAMES):
        calls.observe("aaa", "GET /", "200", 0.1, {}, {f"name-{number}": 0.01, "name-0": 0.01})
    calls.observe("assets", "GET /", "200", 0.1, {}, {"name-99": 0.01})
    samples = [it for family in metrics.servers.collect() for it in family.samples if it.name.endswith("_count")]
    names = {(it.labels["api"], it.labels["name"]) for it in samples}
    own = {("aaa", f"name-{number}") for number in range(MAX_SERVER_NAMES)}
    assert MAX_SERVER_NAMES == 8
    assert names == own | {("aaa", "other"), ("assets", "name-99")}
