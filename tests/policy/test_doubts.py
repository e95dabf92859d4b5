"""How many organizations must fail before it is the API."""

from notification_sender.policy.breaker import Breaker
from notification_sender.policy.doubts import IN_A_ROW, Doubts


def out(breaker: Breaker, doubts: Doubts, whose: str, now: float) -> bool:
    """A failure of this organization: whether the API is out by now."""
    if doubts.counts(whose, now):
        breaker.record_result(well=False, now=now, dice=0.5)
    return breaker.state(now) != "closed"


def well(breaker: Breaker, doubts: Doubts, now: float) -> None:
    doubts.well("good", now)
    breaker.record_result(well=True, now=now, dice=0.5)


def test_one_or_two_organizations_never_take_it_from_the_others() -> None:
    breaker, doubts = Breaker(), Doubts()
    for number in range(1000):
        assert not out(breaker, doubts, "ab"[number % 2], now=number / 100)
        if number % 10 == 9:
            well(breaker, doubts, now=number / 100)


def test_three_organizations_do() -> None:
    breaker, doubts = Breaker(), Doubts()
    assert [out(breaker, doubts, "abc"[number % 3], now=1.0) for number in range(5)] == [False] * 4 + [True]


def test_where_nothing_goes_well_at_all_one_is_enough() -> None:
    breaker, doubts = Breaker(), Doubts()
    tries = [out(breaker, doubts, "a", now=1.0) for _ in range(IN_A_ROW + 3)]
    assert tries.index(True) == IN_A_ROW + 1


def test_an_organization_fails_alone_while_another_is_answered() -> None:
    doubts = Doubts()
    doubts.well("a", now=1.0)
    assert not doubts.alone("a", now=1.0)
    assert doubts.alone("b", now=1.0)
    for _ in range(5):
        doubts.well("b", now=2.0)
    assert doubts.alone("a", now=2.0)
    assert doubts.alone("b", now=2.0)
    assert not doubts.alone("b", now=12.0)
