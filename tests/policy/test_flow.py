"""What comes in and goes out, and when the backlog is done: a number only where it means something."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from notification_sender.model.process_report import WaitCause
from notification_sender.policy.fleet_view import FRESH_SECONDS, Fleet, FleetView, Sample
from notification_sender.policy.flow import Flow, flow, scale_hint
from tests.policy.fleets import NOW, fleet, holding, report, view


def flowing(seen: FleetView) -> Flow:
    return flow(seen, Fleet.of(seen))


def test_arrivals_are_what_was_taken_and_what_the_queue_got_more() -> None:
    assert flowing(fleet()).arrivals_per_min == 900
    growing = fleet(units=range(0, 1300, 100))  # 800 in the 40 s of the window
    assert flowing(growing).arrivals_per_min == 900 + 1200
    draining = fleet(units=range(1200, -100, -100))
    assert flowing(draining).arrivals_per_min == 0


def test_a_backlog_that_falls_is_done_when_it_is_empty_at_that_rate() -> None:
    seen = flowing(fleet(units=range(7200, 5900, -100)))
    assert (seen.drained_per_min, seen.eta_s, seen.never) == (1200, 300, False)


@pytest.mark.parametrize("units", [range(0, 1300, 100), [500] * 13])
def test_a_backlog_that_does_not_fall_is_never_done(units: range | list[int]) -> None:
    seen = flowing(fleet(units=units))
    assert (seen.eta_s, seen.never) == (None, True)


def test_messages_that_are_under_way_are_no_backlog() -> None:
    assert flowing(fleet(units=[0, 3, 7, 1, 5])).eta_s == 0


def test_nothing_is_said_where_rabbitmq_was_not_asked() -> None:
    seen = flowing(fleet(units=()))
    assert (seen.backlog, seen.eta_s, seen.never, seen.arrivals_per_min) == (None, None, False, None)
    assert (seen.no_depths, seen.deliveries_per_min) == ("nobody has asked RabbitMQ", 900)


@pytest.mark.parametrize("changed", [{"broker_fault": "rabbit:5672 refuses"}, {"now": NOW + FRESH_SECONDS + 1}])
def test_old_depths_are_not_those_of_now(changed: dict[str, Any]) -> None:
    seen = flowing(replace(fleet(units=[500] * 13), **changed))
    assert (seen.backlog, seen.units, seen.dead, seen.ladder, seen.eta_s, seen.trend) == (
        None,
        None,
        None,
        (),
        None,
        None,
    )


def test_without_redis_only_the_queues_are_known() -> None:
    now = Sample(NOW, 500, 3, 0, (4,))
    seen = flowing(FleetView(now=NOW, samples=[now], redis_fault="redis:6379 refuses"))
    assert (seen.units, seen.unsettled, seen.deliveries_per_min, seen.no_reports) == (500, None, None, "Redis is away")
    assert (seen.eta_s, seen.never) == (None, False)
    empty = flowing(
        FleetView(now=NOW, samples=[replace(now, units=0, notifications=0)], redis_fault="redis:6379 refuses")
    )
    assert (empty.eta_s, empty.unsettled) == (None, None)  # what the processes have taken is not known


def test_one_look_says_nothing_of_a_rate() -> None:
    seen = flowing(fleet(units=[500]))
    assert (seen.eta_s, seen.never) == (None, False)


@pytest.mark.parametrize("seed", range(5))
def test_a_backlog_that_goes_up_and_down_is_steady(seed: int) -> None:
    dice = Random(seed)
    seen = flowing(fleet(units=[500 + dice.randint(-40, 40) for _ in range(13)]))
    assert (seen.trend, seen.never, seen.drained_per_min) == ("steady", True, 0.0)


def test_a_backlog_that_rises_beneath_its_ups_and_downs_grows() -> None:
    seen = flowing(fleet(units=[500 + 50 * it + (-1) ** it * 20 for it in range(13)]))
    assert seen.trend == "grows"
    assert seen.drained_per_min == pytest.approx(-600, rel=0.1)


def test_the_backlog_counts_the_ladder_and_the_eta_only_what_is_due_within_the_hour() -> None:
    ladder = (40, 0, 60, *[0] * 12, 1000)
    seen = replace(fleet(), samples=[Sample(NOW - 60, 0, 0, 0, (86, *ladder[1:])), Sample(NOW, 2, 1, 9, ladder)])
    known = flowing(seen)
    assert known.backlog == 3 + 1100 + 8
    assert known.waiting == 103
    assert list(known.due) == [(2, 40), (8, 60), (65536, 1000)]
    assert known.eta_s == pytest.approx(103 / (43 / 60), abs=0.1)


def test_the_oldest_is_what_a_process_saw_waiting_or_the_end_of_a_queue_that_is_taken_in_order() -> None:
    assert flowing(fleet()).oldest_age_s is None
    parked = WaitCause(reason="throttled", organization="org-1", count=1, oldest=NOW - 2472)
    assert flowing(fleet(holding(parked))).oldest_age_s == 2472
    assert flowing(fleet(units=[600] * 13)).oldest_age_s == 600 / (600 / 40)


def test_slots_that_wait_for_the_limit_are_not_wanted() -> None:
    seen = Fleet.of(fleet())
    assert scale_hint(seen, "idle") == pytest.approx(5 / 200, abs=0.01)  # two processes, each 2.5 busy slots of 200
    assert scale_hint(seen, "api") == pytest.approx(2 / 200, abs=0.01)
    full = Fleet.of(view(report(1, slot_seconds={"send.webhook": 8000.0}), units=[5000] * 13))
    assert scale_hint(full, "slots") == 2
    assert scale_hint(Fleet([]), "unknown") is None
