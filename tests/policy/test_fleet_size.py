"""A fleet is compared with the budgets of the APIs and with the pools behind them."""

import pytest

from notification_sender.policy.fleet_size import Fit, FleetSize, fits

SIZE = FleetSize(pods=4, processes=2, concurrency=200)


@pytest.mark.parametrize(
    ("budget", "pool", "ok", "detail"),
    [
        (50, None, True, "up to 50 calls at once, 6.25 for each process"),
        (50, 100, True, "up to 50 calls at once, 6.25 for each process; its pool has 100"),
        (50, 20, False, "up to 50 calls at once; its pool has 20: set NS_AAA_BUDGET=20 or less"),
        (7, None, False, "NS_AAA_BUDGET=7 is less than one call for each of 8 processes"),
        (None, None, True, "up to 1,600 calls at once, 200 by each process, as no NS_AAA_BUDGET is set"),
    ],
)
def test_a_budget_fits_where_each_process_gets_a_call_and_the_pool_has_all(
    budget: int | None,
    pool: int | None,
    ok: bool,  # noqa: FBT001 - drawn
    detail: str,
) -> None:
    assert [*fits(SIZE, {"aaa": budget}, {} if pool is None else {"aaa": pool})] == [Fit("aaa", ok, detail)]


def test_a_pool_without_a_budget_is_no_fit() -> None:
    [found] = fits(SIZE, {"aaa": None}, {"aaa": 100})
    assert not found.ok
    assert found.detail.endswith("its pool has 100: set NS_AAA_BUDGET=100 or less")


def test_the_size_of_a_fleet_is_said_in_words() -> None:
    assert str(SIZE) == "4 pods of 2 processes with 200 slots: 1,600 deliveries in hand at most"
    assert str(FleetSize(1, 1, 5)) == "1 pod of 1 process with 5 slots: 5 deliveries in hand at most"
