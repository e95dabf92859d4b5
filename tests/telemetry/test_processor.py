"""How long an answer took, without what this process needed to see it."""

from collections.abc import Iterator

import pytest

from notification_sender.telemetry import processor
from notification_sender.telemetry.processor import IdleTime, ThreadTimes


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, float]]:
    known = {"wall": 100.0, "ran": 7.0, "waited": 3.0}
    monkeypatch.setattr(processor.time, "perf_counter", lambda: known["wall"])
    monkeypatch.setattr(processor.time, "thread_time", lambda: known["ran"])
    monkeypatch.setattr(processor, "cpu_times", lambda _: ThreadTimes(known["ran"], known["waited"], 9))
    yield known
    monkeypatch.undo()  # pytest itself asks for the time


def test_the_time_in_which_a_thread_runs_or_waits_for_a_processor_is_not_idle(times: dict[str, float]) -> None:
    idle = IdleTime()
    times.update(wall=100.5, ran=7.1, waited=3.3)
    assert idle.seconds() == pytest.approx(0.1)


def test_where_the_system_says_nothing_of_waiting_the_thread_is_idle_while_it_does_not_run(
    times: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "cpu_times", lambda _: None)
    idle = IdleTime()
    times.update(wall=100.5, ran=7.1)
    assert idle.seconds() == pytest.approx(0.4)
