"""Places that names share: none is lost, none lies idle, and nobody waits for another name's backlog."""

import asyncio
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from notification_sender.turns import Turns
from tests.patience import patience

PLACES = 3
NAMES = "abcd"

steps = st.lists(st.tuples(st.sampled_from(["take", "take", "give", "cancel"]), st.sampled_from(NAMES)), max_size=40)


class Waiting:
    """Those who asked for a place, what became of each, and in which order they got theirs."""

    def __init__(self, places: int = PLACES) -> None:
        self.turns = Turns(places)
        self.asked: dict[str, deque[asyncio.Task[None]]] = defaultdict(deque)
        self.held: Counter[str] = Counter()
        self.served: list[str] = []

    def ask(self, name: str) -> None:
        async def wait() -> None:
            await self.turns.take(name)
            self.asked[name].remove(task)
            self.held[name] += 1
            self.served.append(name)

        task = asyncio.get_running_loop().create_task(wait())
        self.asked[name].append(task)

    def give(self, name: str) -> None:
        if self.held[name]:
            self.held[name] -= 1
            self.turns.give(name)

    def cancel(self, name: str) -> None:
        """The one of it that waits longest."""
        if self.asked[name]:
            self.asked[name].popleft().cancel()

    def end(self) -> None:
        for tasks in self.asked.values():
            for task in tasks:
                task.cancel()

    @property
    def waiting(self) -> int:
        return sum(map(len, self.asked.values()))


async def settled() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def taken(steps_of_it: list[tuple[str, str]], after: Callable[[Waiting], None]) -> Waiting:
    among = Waiting()
    for step, name in steps_of_it:
        {"take": among.ask, "give": among.give, "cancel": among.cancel}[step](name)
        await settled()
        after(among)
    return among


@given(steps)
def test_no_more_are_held_than_there_are_and_none_is_free_while_somebody_waits(did: list[tuple[str, str]]) -> None:
    def look(among: Waiting) -> None:
        assert among.held.total() <= PLACES
        assert among.held.total() == PLACES or not among.waiting

    asyncio.run(taken(did, look))


@given(steps)
def test_whatever_happened_all_places_can_be_had_in_the_end(did: list[tuple[str, str]]) -> None:
    async def rest() -> None:
        among = await taken(did, lambda _: None)
        while among.held.total():
            among.give(max(among.held, key=among.held.__getitem__))
            await settled()
        assert not among.waiting
        for _ in range(PLACES):
            among.ask("a")
        await settled()
        assert among.held == Counter(a=PLACES)

    asyncio.run(rest())


@given(steps, st.integers(0, 20), st.randoms(use_true_random=False))
def test_who_holds_none_waits_for_one_turn_of_each_other_name_at_most(
    did: list[tuple[str, str]], backlog: int, dice: random.Random
) -> None:
    """However the others go on asking, and whichever of them gives a place back."""

    async def rest() -> None:
        among = await taken(did, lambda _: None)
        for name in backlog * "abcd":
            among.ask(name)
        await settled()
        among.served.clear()
        among.ask("late")
        await settled()
        while "late" not in among.served:
            among.give(dice.choice([name for name in NAMES if among.held[name]]))
            among.ask(dice.choice(NAMES))
            await settled()
        assert max(Counter(among.served).values()) == 1
        among.end()

    asyncio.run(rest())


async def test_of_one_name_who_came_first_comes_first() -> None:
    turns, order = Turns(1), []

    async def pass_through(number: int) -> None:
        await turns.take("a")
        order.append(number)
        await asyncio.sleep(0)
        turns.give("a")

    await asyncio.gather(*(pass_through(number) for number in range(20)))
    assert order == list(range(20))


async def test_a_place_that_is_handed_to_who_is_cancelled_in_the_same_moment_goes_to_the_next() -> None:
    turns = Turns(1)
    await turns.take("a")
    first, second = (asyncio.create_task(turns.take(name)) for name in "bc")
    await settled()
    turns.give("a")
    first.cancel()
    async with patience(5):
        await second
    assert first.cancelled()


async def test_a_place_that_is_given_while_who_waits_for_it_is_being_cancelled_goes_to_the_next() -> None:
    among = Waiting(1)
    for name in "abc":
        among.ask(name)
        await settled()
    among.cancel("b")
    among.give("a")
    await settled()
    assert among.served == ["a", "c"]
    among.give("c")
    among.ask("d")
    await settled()
    assert among.served == ["a", "c", "d"]
