"""How long an answer took, without what this process needed to see it."""

from collections.abc import Iterator
from pathlib import Path
from threading import current_thread

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


@pytest.mark.parametrize(
    ("groups", "files", "seconds"),
    [
        ("0::/", {"cpu.stat": "usage_usec 9\nthrottled_usec 2500000"}, 2.5),
        ("0::/system.slice/worker", {"system.slice/worker/cpu.stat": "throttled_usec 2500000"}, 2.5),
        ("4:cpu,cpuacct:/docker/c0ffee", {"cpu/cpu.stat": "nr_throttled 3\nthrottled_time 2500000000"}, 2.5),
        ("9:name=systemd:/\n1:cpu:/worker\n0::/", {"cpu/worker/cpu.stat": "throttled_time 2500000000"}, 2.5),
        ("3:memory:/worker", {"cpu.stat": "throttled_usec 2500000"}, 0.0),
        ("0::/", {}, 0.0),
    ],
)
def test_the_time_that_a_cpu_limit_took_is_read_where_the_system_counts_it(
    groups: str, files: dict[str, str], seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.write_text(groups)
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(processor, "_CGROUPS", tmp_path)
    monkeypatch.setattr(processor, "_OWN_CGROUPS", own)
    processor.cpu_stats.cache_clear()
    assert processor.processor_totals(current_thread())["throttled"] == seconds
    processor.cpu_stats.cache_clear()
