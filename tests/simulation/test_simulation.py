"""2,000 seeds of the real heart on memory, and some over the real scripts; and that this finds what it is for."""

import pytest

from tests.simulation.invariants import wrong
from tests.simulation.mutants import MUTANTS
from tests.simulation.running import all_played, judged, played
from tests.simulation.stores import Scripted

SEEDS = 2000
SCRIPTED = 50


@pytest.mark.timeout(600)
def test_whatever_breaks_each_notification_ends_once_in_one_chain_of_attempts_within_its_limits() -> None:
    for some in all_played(range(SEEDS)):
        if some.stories:
            pytest.fail(some.stories[0], pytrace=False)


@pytest.mark.parametrize("first", range(0, SCRIPTED, 10))
def test_so_it_does_over_the_scripts(first: int) -> None:
    if stories := judged(range(first, first + 10), Scripted).stories:
        pytest.fail(stories[0], pytrace=False)


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
