"""Who holds how much: the slow leave room for others, the quick need not."""

import itertools
import math
from collections import deque
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.policy.fair_share import FEW, KEPT, MOST_KEPT, SOON, FairShare
from notification_sender.policy.holder import QUICK, UNKNOWN
from notification_sender.policy.pacing import LONGEST, Pacer

TOTAL = 20
OWN = 10
SHARE = OWN / TOTAL


class Crowd:
    """Many who want the same shares, each for as long as told; a tick is 10 ms."""

    def __init__(self) -> None:
        self.outage = -math.inf
        self.shares = FairShare(TOTAL, SHARE, lambda _: self.outage)
        self.now = 1000.0
        self.inside: deque[tuple[float, int]] = deque()

    def ask(self) -> float:
        return self.shares.delay_for("org", now=self.now, dice=0.5)

    def enter(self, seconds: float) -> float:
        """What it was told."""
        if not (away := self.ask()):
            self.inside.append((self.now + seconds, self.shares.acquire("org", now=self.now)))
        return away

    def ticks(self, number: int) -> Iterator[int]:
        for tick in range(number):
            yield tick
            self.now += 0.01
            for held in [it for it in self.inside if it[0] <= self.now]:
                self.inside.remove(held)
                self.shares.release("org", held[1], now=self.now)


def test_one_whose_work_is_quick_may_hold_everything() -> None:
    crowd = Crowd()
    most = 0
    for _ in crowd.ticks(100):
        while len(crowd.inside) < TOTAL and not crowd.enter(0.2):
            pass
        most = max(most, len(crowd.inside))
    assert most == TOTAL


def test_of_a_first_flood_a_share_enters_and_the_rest_asks_again_shortly_until_it_is_known_how_slow_it_is() -> None:
    crowd = Crowd()
    assert [crowd.enter(15.0) for _ in range(TOTAL)] == [0.0] * OWN + [UNKNOWN] * OWN
    crowd.now += QUICK + 0.01
    assert 0 < crowd.ask() < crowd.ask() != UNKNOWN


def test_what_hangs_shows_before_it_ends_even_where_everything_was_quick_before() -> None:
    crowd = Crowd()
    for _ in crowd.ticks(100):
        crowd.enter(0.02)
    for _ in crowd.ticks(1000):
        crowd.enter(15.0)
        crowd.enter(0.02)
    assert len(crowd.inside) <= QUICK / 0.01 + OWN
    assert crowd.ask() > 0


def test_what_was_quick_and_hangs_all_of_a_sudden_holds_its_share_and_not_all_slots() -> None:
    crowd = Crowd()
    for _ in crowd.ticks(100):
        crowd.enter(0.02)
    while len(crowd.inside) < TOTAL and not crowd.enter(15.0):
        pass
    assert len(crowd.inside) == OWN
    assert crowd.ask() == UNKNOWN


def test_those_under_way_count_before_they_hold_a_slot_and_a_slow_one_is_put_off_only_before_its_work_is_done() -> None:
    shares = FairShare(TOTAL, SHARE)
    for _ in range(OWN):
        assert shares.delay_for("org/a", now=0.0, dice=0.5) == 0.0
        shares.enter("org/a", now=0.0)
    assert shares.delay_for("org/a", now=0.0, dice=0.5) == UNKNOWN
    assert shares.awaits("org/a", now=0.0, away=UNKNOWN)
    assert shares.delay_for("org/a", now=0.0, dice=0.5, begun=True) == 0.0
    shares.leave("org/a", 0, now=0.0)
    assert shares.delay_for("org/a", now=0.0, dice=0.5) == 0.0


def test_one_destination_that_hangs_does_not_make_its_organization_slow_when_there_are_fewer_slots() -> None:
    organizations, destinations = FairShare(100, 0.5), FairShare(100, 0.25)
    for number in range(50):
        organizations.release("org", organizations.acquire("org", now=number / 100), now=number / 100 + 0.01)
    for _ in range(25):
        organizations.acquire("org", now=1.0)
        destinations.acquire("org/hangs", now=1.0)
    organizations.divide(50)
    part = destinations.largest("org")
    assert part == 25
    assert organizations.delay_for("org", now=10.0, dice=0.5, part=part) == 0.0
    assert organizations.delay_for("org", now=10.0, dice=0.5) > 0.0


def test_whoever_is_told_to_stay_away_waits_for_a_slot_only_if_it_is_its_turn_soon_or_nobody_knows() -> None:
    crowd = Crowd()
    while not crowd.enter(2.0):
        pass
    assert crowd.shares.awaits("org", now=crowd.now, away=LONGEST)
    for _ in crowd.ticks(201):
        pass
    while not crowd.enter(2.0):
        pass
    crowd.now += QUICK
    assert crowd.shares.awaits("org", now=crowd.now, away=SOON - 1)
    assert not crowd.shares.awaits("org", now=crowd.now, away=SOON)
    crowd.now += 5.0
    assert crowd.shares.awaits("org", now=crowd.now, away=SOON)


def test_those_sent_away_come_back_about_as_fast_as_room_is_made() -> None:
    crowd = Crowd()
    for tick in crowd.ticks(250):
        if tick < OWN or (tick > 200 and len(crowd.inside) < OWN):
            crowd.enter(2.0)
    away = [crowd.ask() for _ in range(3)]
    assert [round(later - sooner, 2) for sooner, later in itertools.pairwise(away)] == [0.2, 0.2]


def test_one_that_is_slow_keeps_nobody_else_away() -> None:
    crowd = Crowd()
    while not crowd.enter(15.0):
        pass
    assert crowd.shares.delay_for("other", now=crowd.now, dice=0.5) == 0.0


@given(
    total=st.integers(1, 40),
    share=st.floats(0.01, 1.0),
    steps=st.lists(st.tuples(st.floats(0.0, 2.0), st.integers(0, 5)), max_size=60),
    slowness=st.floats(QUICK * 1.01, 30.0),
    dice=st.floats(0, 1, exclude_max=True),
)
def test_whoever_is_slow_never_holds_more_than_its_share_and_is_never_away_for_long(
    total: int, share: float, steps: list[tuple[float, int]], slowness: float, dice: float
) -> None:
    own = max(int(total * share), min(total - 1, FEW), 1)
    shares, now, held = FairShare(total, share), 0.0, deque[tuple[float, int]]()
    for passes, asking in steps:
        now += passes
        while held and held[0][0] <= now:
            ends, ticket = held.popleft()
            shares.release("slow", ticket, now=ends)
        for _ in range(asking):
            away = shares.delay_for("slow", now=now, dice=dice)
            assert 0 <= away <= LONGEST
            if not away:
                held.append((now + slowness, shares.acquire("slow", now=now)))
            assert away == 0 or len(held) >= own
        assert len(held) <= own


@given(st.lists(st.tuples(st.floats(0, 90), st.floats(0, 5), st.floats(0, 1, exclude_max=True)), max_size=60))
def test_returns_are_within_a_minute_and_in_order_unless_there_are_too_many(
    steps: list[tuple[float, float, float]],
) -> None:
    returns, now, last = Pacer(), 0.0, 0.0
    for passes, step, dice in steps:
        now += passes
        away = returns.next_delay(step, now=now, dice=dice)
        assert 0 <= away <= LONGEST
        assert now + away >= last - 1e-9 or away >= LONGEST / 2
        last = now + away


def test_a_crowd_that_is_too_large_does_not_come_back_in_one_instant() -> None:
    returns = Pacer()
    away = [returns.next_delay(1.0, now=0.0, dice=number % 10 / 10) for number in range(1000)][LONGEST.__ceil__() + 1 :]
    assert min(away) == LONGEST / 2
    assert len(set(away)) == 10


def test_nobody_comes_back_before_it_opens() -> None:
    returns = Pacer()
    assert [returns.next_delay(0.5, now=100.0, dice=0.5, opens=110.0) for _ in range(2)] == [10.5, 11.0]


def test_names_that_hold_nothing_are_forgotten() -> None:
    shares = FairShare(TOTAL, SHARE)
    for number in range(2 * MOST_KEPT):
        shares.release(str(number), shares.acquire(str(number), now=0.0), now=0.0)
    assert len(shares._names) <= MOST_KEPT
    shares.acquire("held", now=0.0)
    for number in (1, 2):
        shares.acquire(f"later-{number}", now=KEPT + 1)
    assert set(shares._names) == {"held", "later-1", "later-2"}


def test_what_was_held_for_reasons_of_ours_makes_nobody_slow() -> None:
    crowd = Crowd()
    while not crowd.enter(30.0):
        pass
    crowd.now += 29.99
    crowd.outage = crowd.now
    assert crowd.ask() == 0.0
    crowd.now += 0.001
    assert crowd.ask() == UNKNOWN
    for _ in crowd.ticks(2):
        pass
    for _ in range(TOTAL):
        assert crowd.enter(1.0) == 0.0


def behind(crowd: Crowd, *, put_off: float, of_ten: int) -> None:
    """Quick, but what it wants to send is put off, so many times of ten."""
    for tick in crowd.ticks(100):
        crowd.enter(0.01)
        crowd.shares.record_deferral("org", put_off=put_off if tick % 10 < of_ten else 0.0, now=crowd.now)
    for _ in range(OWN // 2):
        crowd.shares.acquire("org", now=crowd.now)


@pytest.mark.parametrize(("put_off", "least", "most"), [(20.0, 10, 20), (300.0, LONGEST / 2, LONGEST)])
def test_one_whose_work_is_put_off_comes_back_before_that_is_due(put_off: float, least: float, most: float) -> None:
    crowd = Crowd()
    behind(crowd, put_off=put_off, of_ten=9)
    assert least - 1 <= crowd.ask() <= most


def test_one_of_whose_work_little_is_put_off_or_only_shortly_is_not_behind() -> None:
    for put_off, of_ten in ((20.0, 2), (0.9, 9)):
        crowd = Crowd()
        behind(crowd, put_off=put_off, of_ten=of_ten)
        assert crowd.ask() == 0.0
