"""`slo` shows each objective with its target, what is so now, and what is left of its budget."""

import json

import pytest

from notification_sender.policy.objectives import Tally, states
from tests.cli.stand_in import App, Command

GOOD = {"claim": Tally(12_000, 11_999), "end_to_end": Tally(12_000, 11_000)}


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def test_an_objective_that_is_missed_is_a_problem(command: Command, app: App) -> None:
    app.answer = states(GOOD, GOOD, known=True)
    ended = command("slo")
    lines = {it.split()[0]: it.split()[1:] for it in ended.out.splitlines() if it}
    assert ended.code == 1
    assert lines["claim"] == ["kept", "250", "ms", "99.9", "%", "99.99", "%", "12,000", "92", "%", "12,000"]
    assert lines["end_to_end"][0] == "spent"
    assert lines["render"][0] == "quiet"
    known = {it["step"]: it for it in json.loads(command("slo", "--json").out)}
    assert (known["claim"]["state"], known["claim"]["target"], known["claim"]["present"]) == ("kept", 0.999, 0.99992)
    app.answer = states({}, {}, known=True)
    assert command("slo").code == 0


def test_nothing_is_known_where_no_process_reports(command: Command, app: App) -> None:
    app.answer = states(GOOD, GOOD, known=False)
    ended = command("slo")
    assert (ended.code, "kept" in ended.out) == (1, False)
    assert ended.out.splitlines()[-1].startswith("Unknown: no process reports.")
