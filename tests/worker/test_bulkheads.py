"""Slots are shared by need, and none is ever lost."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.policy.fair_share import FairShare
from notification_sender.ports.broker import Lane
from notification_sender.worker import retry_unready as module
from notification_sender.worker.bulkheads import Bulkhead, Slots
from notification_sender.worker.retry_unready import UnreadyRetry
from tests.virtual import VirtualClock
from tests.worker.platform import Platform

BOTH = [Lane.UNITS, Lane.NOTIFICATIONS]


def test_one_lane_alone_may_use_every_slot() -> None:
    slots = Slots(3, Platform())
    assert [slots.take([Lane.UNITS]) for _ in range(4)] == [Lane.UNITS] * 3 + [None]


def test_where_both_wait_the_lane_with_fewest_is_served() -> None:
    slots = Slots(4, Platform())
    for _ in range(3):
        slots.take([Lane.UNITS])
    assert slots.take(BOTH) == Lane.NOTIFICATIONS


def test_a_single_slot_goes_by_turns() -> None:
    slots, served = Slots(1, Platform()), []
    for _ in range(4):
        lane = slots.take(BOTH)
        assert lane is not None
        served.append(lane)
        slots.give(lane)
    assert served == [Lane.UNITS, Lane.NOTIFICATIONS] * 2


@given(st.integers(1, 5), st.lists(st.sampled_from([*BOTH, None]), max_size=50))
def test_no_slot_is_lost_and_none_is_made(total: int, steps: list[Lane | None]) -> None:
    slots, held = Slots(total, Platform()), []
    for step in steps:
        if step is None and held:
            slots.give(held.pop())
        elif step is not None and (lane := slots.take([step])):
            held.append(lane)
        assert sum(slots.held.values()) == len(held) <= total


def test_while_our_platform_is_out_only_a_probe_is_let_in_and_notifications_go_on() -> None:
    platform = Platform()
    slots = Slots(4, platform)
    platform.turn(out=True)
    assert slots.take([Lane.UNITS]) is None
    assert slots.take(BOTH) == Lane.NOTIFICATIONS
    platform.turn(out=True, probes=1)
    assert slots.take([Lane.UNITS]) == Lane.UNITS
    assert slots.take([Lane.UNITS]) is None


def test_whose_work_our_own_loop_kept_waiting_is_not_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of these have been under way for a minute, in which nothing could end."""
    clock, until = VirtualClock(), [-math.inf]
    monkeypatch.setattr(module, "blocked_until", lambda _: until[0])
    shares = FairShare(100, 0.1, UnreadyRetry(clock=clock).outage)
    bulkhead = Bulkhead(shares, clock=clock, dice=lambda: 0.5)
    under_way = [bulkhead.take("org") for _ in range(20)]
    clock.jump(60)
    assert bulkhead.delay_for("org") > 0
    until[0] = clock.monotonic()
    assert bulkhead.delay_for("org") == 0
    for ticket in under_way:
        bulkhead.give("org", ticket)
    clock.jump(1)
    assert bulkhead.delay_for("org") == 0
