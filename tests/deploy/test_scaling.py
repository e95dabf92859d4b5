"""What the autoscaler does with the hint, in virtual time."""

from bench.scaling.model import Autoscaler, Fleet, depth, simulate, the_day, useful_demand

PODS = 11
"""A twentieth of the fleet of the page."""


def most(fleet: Fleet, first: float, last: float) -> int:
    """Pods at most, between two minutes."""
    return max(it[1] for it in fleet.history if first * 60 <= it[0] < last * 60)


def test_the_useful_demand_adds_no_pods_in_an_outage_and_those_that_a_backlog_needs() -> None:
    fleet = simulate(the_day(0.05), useful_demand, Autoscaler(target=0.7), PODS)
    assert most(fleet, 20, 40) == PODS
    assert min(it[1] for it in fleet.history if 20 * 60 <= it[0] < 40 * 60) == PODS
    assert most(fleet, 40, 50) > 3 * PODS
    assert most(fleet, 100, 120) >= 15 / 0.7
    assert fleet.history[-1][2] == 0


def test_the_depth_of_the_queue_scales_into_the_outage() -> None:
    fleet = simulate(the_day(0.05), depth, Autoscaler(target=50.0), PODS)
    assert most(fleet, 20, 40) == 1000
