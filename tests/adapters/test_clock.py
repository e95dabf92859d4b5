"""The wall clock of the fleet."""

import time

import pytest

from notification_sender.adapters.clock import FleetClock
from notification_sender.adapters.memory.redis import EmbeddedRedis
from notification_sender.model.errors import Unready


@pytest.fixture(autouse=True)
def _stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of this machine: between two looks at it a busy one may pass a second."""
    monkeypatch.setattr(time, "time", lambda: 1_772_785_560.25)


class Elsewhere(EmbeddedRedis):
    """A store whose clock is so many seconds ahead of ours."""

    def __init__(self, ahead: float) -> None:
        super().__init__()
        self.ahead = ahead
        self.away = False

    async def execute(self, *command: object) -> object:
        if self.away:
            raise Unready("away")
        assert command == ("TIME",)
        moment = time.time() + self.ahead
        return [b"%d" % moment, b"%d" % (moment % 1 * 1_000_000)]


@pytest.mark.parametrize(("ahead", "offset"), [(600.0, 600.0), (-600.0, -600.0), (0.5, 0.0)])
async def test_a_clock_that_is_minutes_off_is_that_of_the_store_and_one_that_is_not_is_left_alone(
    ahead: float, offset: float
) -> None:
    clock = FleetClock()
    await clock.compare(Elsewhere(ahead))
    assert clock.now() - time.time() == pytest.approx(offset, abs=0.001)


async def test_what_was_known_stands_while_the_store_is_away_and_ends_when_the_clocks_agree() -> None:
    clock, store = FleetClock(), Elsewhere(600.0)
    await clock.compare(store)
    store.away = True
    await clock.compare(store)
    assert clock.now() - time.time() == pytest.approx(600.0, abs=0.001)
    store.away, store.ahead = False, 0.0
    await clock.compare(store)
    assert clock.now() - time.time() == pytest.approx(0.0, abs=0.001)


async def test_where_both_agreed_and_the_store_moves_to_another_time_it_is_not_followed() -> None:
    clock, store = FleetClock(), Elsewhere(0.0)
    for ahead in (0.0, -600.0, -600.0):
        store.ahead = ahead
        await clock.compare(store)
    assert clock.apart == pytest.approx(-600.0, abs=0.001)
    assert clock.now() - time.time() == pytest.approx(0.0, abs=0.001)


async def test_where_both_agreed_and_this_machine_is_set_to_another_time_the_store_is_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, store, wall = FleetClock(), Elsewhere(0.0), time.time
    await clock.compare(store)
    monkeypatch.setattr(time, "time", lambda: wall() + 600)
    store.ahead = -600.0
    await clock.compare(store)
    assert clock.now() - wall() == pytest.approx(0.0, abs=0.001)
