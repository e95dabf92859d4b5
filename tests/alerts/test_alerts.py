"""Each alert fires when it should and is silent otherwise: judged by promtool over made-up series."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from notification_sender.telemetry.declared import PREFIX
from tests.alerts.promtool import Series, both, fires, holds, judge, silent
from tools.observability.alerts import alerts
from tools.observability.objectives import load

pytestmark = pytest.mark.usefixtures("promtool")

ALERTS = {it.name.removeprefix("NotificationSender") for it in alerts(load())}

NEVER = " ".join(["Inf"] * 60)

DAY = 24 * 60
"""Minutes."""


def step(name: str, good: str, count: str) -> Series:
    """How often a step was observed, and how often within its objective, in promtool's words."""
    [it] = [it for it in load().steps if it.step == name]
    names = {it.good: good, it.all: count}
    return {
        selector.removeprefix(PREFIX).replace('result=~"2..|404"', 'result="200"'): values
        for selector, values in names.items()
    }


def backlog(values: str) -> Series:
    return {'fleet_backlog{queue="units"}': values, 'fleet_backlog{queue="dead"}': "900x999"}


class Case(NamedTuple):
    """``well`` keeps the alert silent; with ``trouble`` it fires ``at`` that time, with these labels."""

    trouble: Series
    well: Series
    at: str = "20m"
    labels: Mapping[str, str] = {}


OUTCOME = 'outcomes_total{what="notification",outcome="%s",reason="%s"}'
LAG = 'loop_lag_seconds_bucket{instance="a",le="%s"}'
LATE = {LAG % "0.5": "0+100x60", LAG % "+Inf": "0+100x60"}

CASES = {
    "OldestTooOld": Case({"fleet_oldest_age_seconds": "61x60"}, {"fleet_oldest_age_seconds": "59x60"}),
    "BacklogTooLong": Case(
        {"fleet_eta_seconds": NEVER, **backlog("80x60")}, {"fleet_eta_seconds": NEVER, **backlog("3x60")}
    ),
    "NothingDelivered": Case(
        {OUTCOME % ("delivered", ""): "7x60", **backlog("1x60")},
        {OUTCOME % ("delivered", ""): "7+1x60", **backlog("1x60")},
    ),
    "CircuitOpen": Case(
        {'api_state{api="assets",state="out",instance="a"}': "1x60", 'api_state{api="aaa",state="out"}': "0x60"},
        {'api_state{api="assets",state="out"}': "1x12 0x60", 'api_state{api="assets",state="slow"}': "1x60"},
        labels={"api": "assets"},
    ),
    "Throttled": Case({'limit{limit="throttle"}': "1x60"}, {'limit{limit="throttle"}': "1x8 0x60"}),
    "DeadLettersGrow": Case({OUTCOME % ("dead", "gone"): "0+2x60"}, {OUTCOME % ("dead", "gone"): "0+1x60"}),
    "OwnFault": Case(
        {OUTCOME % ("dead", "render"): "_x15 1x60"},
        {OUTCOME % ("dead", "render"): "1x60", OUTCOME % ("dead", "gone"): "0+9x60"},
        labels={"reason": "render"},
    ),
    "AuditImbalance": Case({"audit_missing": "3x60"}, {"audit_missing": "0x60"}),
    "TenantMismatch": Case(
        {'foreign_records_total{source="assets"}': "5x17 6x60"}, {'foreign_records_total{source="assets"}': "5x60"}
    ),
    "LoopLag": Case(
        LATE | {LAG % "0.25": "0+98x60"},
        LATE | {LAG % "0.25": "0+100x60"},
        labels={"instance": "a"},
    ),
    "TooFewReady": Case(
        {'ready{instance="a"}': "1x60"}, {'ready{instance="a"}': "1x60", 'ready{instance="b"}': "1x60"}
    ),
    "RedisFull": Case(
        {"redis_used_bytes": "86x60", "redis_max_bytes": "100x60"},
        {"redis_used_bytes": "86x60", "redis_max_bytes": "0x60"},
    ),
    "ReportsStale": Case({"fleet_reports_stale": "1x60"}, {"fleet_reports_stale": "0x60"}),
}


def test_every_alert_has_a_case_and_there_are_15() -> None:
    assert CASES.keys() | {"ObjectiveMissedFast", "ObjectiveMissedSlowly"} == ALERTS
    assert len(ALERTS) <= 15


@pytest.mark.parametrize("name", CASES)
def test_an_alert_fires_in_trouble_and_is_silent_without(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    tests = [fires(name, case.trouble, case.at, **case.labels), silent(name, case.well, case.at)]
    assert judge(tmp_path, tests, evaluated="15s") == ""


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("OwnFault", {OUTCOME % ("deferred", "sender_rejected"): "4x16 5x60"}),
        ("TenantMismatch", {'outcomes_total{what="unit",outcome="dead",reason="tenant_mismatch"}': "_x16 1x60"}),
        ("NothingDelivered", backlog("1x60")),
        ("TooFewReady", {"tasks": "1x60"}),
        ("RedisFull", {"redis_evicted_keys": "4x15 5x60"}),
    ],
)
def test_an_alert_fires_for_each_of_its_reasons(name: str, series: Series, tmp_path: Path) -> None:
    labels = {"reason": "sender_rejected"} if name == "OwnFault" else {}
    assert judge(tmp_path, [fires(name, series, "20m", **labels)], evaluated="15s") == ""


def test_nobody_is_told_that_nothing_is_delivered_while_all_is_paused_or_nothing_waits(tmp_path: Path) -> None:
    paused = {**backlog("9x60"), 'limit{limit="paused"}': "1x60"}
    tests = [silent("NothingDelivered", series, "20m") for series in (paused, backlog("0x60"))]
    assert judge(tmp_path, tests, evaluated="15s") == ""


def test_a_value_of_the_fleet_that_is_not_known_yet_fires_nothing(tmp_path: Path) -> None:
    gauges = ("fleet_oldest_age_seconds", "fleet_eta_seconds", "fleet_reports_stale")
    unknown = dict.fromkeys(gauges, " ".join(["NaN"] * 60))
    names = ("OldestTooOld", "BacklogTooLong", "ReportsStale")
    assert judge(tmp_path, [silent(it, unknown | backlog("99x60"), "20m") for it in names], evaluated="15s") == ""


def test_2_4_a_second_in_and_1_out_warns_within_a_minute_and_pages_before_the_objective_is_missed(
    tmp_path: Path,
) -> None:
    """1.4 more wait each second, and what is oldest ages by 0.58 s a second: two minutes are over after 206 s."""
    series = {
        "fleet_eta_seconds": f"0 {NEVER}",
        "fleet_oldest_age_seconds": "0+8.75x20",
        'fleet_backlog{queue="units"}': "0+21x20",
    }
    tests = [
        silent("BacklogTooLong", series, "15s", interval="15s"),
        fires("BacklogTooLong", series, "1m", interval="15s"),
        silent("OldestTooOld", series, "1m", interval="15s"),
        fires("OldestTooOld", series, "2m15s", interval="15s"),
    ]
    assert judge(tmp_path, [both(*tests)], evaluated="15s") == ""


def spell(*parts: tuple[int, int]) -> str:
    """A counter, scraped every two minutes, that grows by so much a minute for so many minutes, part by part."""
    now, words = 0, []
    for growth, minutes in parts:
        words.append(f"{now}+{2 * growth}x{minutes // 2 - 1}")
        now += growth * minutes
    return " ".join(words)


@pytest.mark.parametrize(
    ("name", "slow", "minutes", "told"),
    [
        ("ObjectiveMissedFast", 20, 70, True),  # of 100, where 1 may be
        ("ObjectiveMissedFast", 13, 70, False),
        ("ObjectiveMissedFast", 8, 330, True),
        ("ObjectiveMissedFast", 5, 390, False),
        ("ObjectiveMissedSlowly", 5, DAY, True),
        ("ObjectiveMissedSlowly", 1, DAY, False),
    ],
)
def test_a_rate_that_uses_up_the_budget_is_told(
    name: str, slow: int, minutes: int, tmp_path: Path, *, told: bool
) -> None:
    """After three days without a slow one."""
    before = 3 * DAY
    count, good = spell((100, before), (100, minutes)), spell((100, before), (100 - slow, minutes))
    series, at = step("end_to_end", good, count), f"{before + minutes - 10}m"
    judged = (
        fires(name, series, at, interval="2m", step="end_to_end") if told else silent(name, series, at, interval="2m")
    )
    assert judge(tmp_path, [judged], evaluated="10m") == ""


def test_it_ends_half_an_hour_after_the_trouble(tmp_path: Path) -> None:
    series = step("end_to_end", spell((100, 60), (0, 60), (100, 40)), spell((100, 160)))
    during = fires("ObjectiveMissedFast", series, "118m", interval="2m", step="end_to_end")
    after = silent("ObjectiveMissedFast", series, "156m", interval="2m")
    assert judge(tmp_path, [both(during, after)], evaluated="2m") == ""


def test_a_few_slow_ones_at_night_wake_nobody(tmp_path: Path) -> None:
    """All of them are slow: 90 in an hour, where 100 are needed for a judgement."""
    series = step("end_to_end", "0x120", "0+1.5x120")
    assert judge(tmp_path, [silent("ObjectiveMissedFast", series, "60m")], evaluated="1m") == ""


MEANS = {
    "queue_wait": 0.4,
    "claim": 0.004,
    "context.assets": 0.05,
    "render": 0.003,
    "send.webhook": 0.8,
    "record": 0.003,
}
"""Seconds, of a usual day."""


def test_5_seconds_on_1_of_100_calls_of_an_api_are_told_of_that_api_and_move_the_mean_by_less_than_2_percent(
    tmp_path: Path,
) -> None:
    """12 hours without trouble, then 5. One unit in five calls the API: the others have its answer in the cache."""
    healthy, ill, calls = 12 * 60, 5 * 60, 1000
    units = 5 * calls
    series: dict[str, str] = {}
    for name in ("assets", "incidents"):
        slow = calls // 100 if name == "assets" else 0
        series |= step(f"api.{name}", spell((calls, healthy), (calls - slow, ill)), spell((calls, healthy + ill)))
    for name, mean in MEANS.items():
        usual, more = round(units * mean), 5 * calls // 100 if name == "context.assets" else 0
        series[f'stage_seconds_sum{{stage="{name}"}}'] = spell((usual, healthy), (usual + more, ill))
        series |= step(name, spell((units, healthy + ill)), spell((units, healthy + ill)))
    at = f"{healthy + ill - 2}m"
    now, before = (
        f"sum(rate({PREFIX}stage_seconds_sum[1h]{then})) / sum(rate({PREFIX}stage_seconds_count[1h]{then}))"
        for then in ("", " offset 6h")
    )
    tests = [
        fires("ObjectiveMissedFast", series, at, interval="2m", step="api.assets"),
        silent("ObjectiveMissedFast", series, f"{healthy - 2}m"),
        holds(f"({now}) / ({before}) < 1.02", series, at),
        holds(f"({now}) / ({before}) > 1", series, at),
    ]
    assert judge(tmp_path, [both(*tests)], evaluated="2m") == ""
