import os
from pathlib import Path

import pytest

from notification_sender.processes.number import MOST, processes, processors


@pytest.fixture
def _sixteen_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)


@pytest.mark.usefixtures("_sixteen_processors")
@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max 100000", 16),
        ("200000 100000", 2),
        ("250000 100000", 2),
        ("50000 100000", 1),
        ("9900000 100000", 16),
        ("", 16),
    ],
)
def test_the_limit_of_a_container_counts_in_whole_processors(tmp_path: Path, limit: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    assert processors(tmp_path) == expected


@pytest.mark.usefixtures("_sixteen_processors")
@pytest.mark.parametrize(("quota", "expected"), [("-1", 16), ("300000", 3), ("10000", 1)])
def test_the_limit_may_stand_in_the_files_of_the_first_cgroups(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert processors(tmp_path) == expected


@pytest.mark.usefixtures("_sixteen_processors")
def test_without_a_limit_the_mask_counts(tmp_path: Path) -> None:
    assert processors(tmp_path) == 16


def test_auto_is_never_more_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notification_sender.processes.number.processors", lambda: 128)
    assert processes("auto") == MOST
    assert processes("3") == 3


@pytest.mark.parametrize("text", ["", "0", "65", "two", "1.0", " 2", "٣"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number from 1 to 64, nor auto"):
        processes(text)
