"""Slots are shared by need, and none is ever lost."""

from hypothesis import given
from hypothesis import strategies as st
from worker.platform import Platform

from notification_sender.ports import Lane
from notification_sender.worker.slots import Slots

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
