"""Seeds of the real worker on memory, and some over the real scripts; and that this finds what it is for."""

from types import SimpleNamespace
from typing import Any

import pytest

from notification_sender.adapters.memory.broker import Message
from notification_sender.ports.ledger import Claim, Key
from tests.simulation.invariants import _untrue, wrong
from tests.simulation.mutants import MUTANTS
from tests.simulation.observer import Sending
from tests.simulation.running import all_played, judged, played
from tests.simulation.stores import Plain, Scripted
from tests.simulation.world import World

SEEDS = 600
"""`make simulate` plays 2,000, and more in a night."""

SEARCHED = 2000
"""In which a fault that is put back has to be found: the first seed that shows it ends the search."""

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


@pytest.mark.parametrize("cut_off", [False, True])
def test_a_letter_is_a_second_end_unless_its_worker_was_cut_off_before_the_store_knew(*, cut_off: bool) -> None:
    world = World(0, Plain)
    pod: Any = SimpleNamespace(open=[])
    claim = Claim(Key("o", "notification", "n"), "t", 1)
    world.observer.sendings["n"] = [Sending(pod, claim, 1.0, accepted=2.0)]
    world.broker.dead.append(Message(b'{"notification_id": "n"}', {"x-reason": "exhausted"}))
    world.observer.buries(pod, "n")
    if not cut_off:
        world.observer.records(pod, "n")
    world.observer.ends(pod, "killed", 1.5)
    world.states = {claim.key: "delivered"}
    world.loop.close()
    assert [what for _, what in _untrue(world)] == ([] if cut_off else ["delivered, and a dead letter"])


@pytest.mark.parametrize("seed", [5, 37, 1001])
def test_a_seed_has_the_same_history_each_time(seed: int) -> None:
    once, again = (played(seed).history for _ in range(2))
    assert len(once.lines) > 100
    assert once.digest() == again.digest()


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_fault_that_is_put_back_is_found(mutant: str) -> None:
    with MUTANTS[mutant]():
        found = next((seed for seed in range(SEARCHED) if wrong(played(seed))), None)
    assert found is not None
