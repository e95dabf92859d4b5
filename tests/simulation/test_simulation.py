"""2,000 seeds of the real heart on memory, and some over the real scripts; and that this finds what it is for."""

from collections.abc import Iterable

import pytest

from tests.simulation.invariants import story, wrong
from tests.simulation.mutants import MUTANTS
from tests.simulation.running import played
from tests.simulation.stores import Scripted
from tests.simulation.world import World

SEEDS = 2000
AT_ONCE = 100
SCRIPTED = 50


def first_wrong(worlds: Iterable[World]) -> str:
    """Its story, or nothing."""
    for world in worlds:
        if faults := wrong(world):
            return story(world, faults)
    return ""


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_whatever_breaks_each_notification_ends_once_in_one_chain_of_attempts_within_its_limits(first: int) -> None:
    if told := first_wrong(map(played, range(first, first + AT_ONCE))):
        pytest.fail(told, pytrace=False)


@pytest.mark.parametrize("first", range(0, SCRIPTED, 10))
def test_so_it_does_over_the_scripts(first: int) -> None:
    if told := first_wrong(played(seed, Scripted) for seed in range(first, first + 10)):
        pytest.fail(told, pytrace=False)


@pytest.mark.parametrize("seed", [5, 37, 1001])
def test_a_seed_has_the_same_history_each_time(seed: int) -> None:
    once, again = (played(seed).history for _ in range(2))
    assert len(once.lines) > 100
    assert once.digest() == again.digest()


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_fault_that_is_put_back_is_found(mutant: str) -> None:
    with MUTANTS[mutant]():
        found = next((seed for seed in range(SEEDS) if wrong(played(seed))), None)
    assert found is not None
