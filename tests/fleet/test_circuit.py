"""The circuit that all processes of a fleet share: its pauses, its probe, and what a wish of the other side changes."""

import pytest

from notification_sender.fleet.circuit import BETWEEN_QUESTIONS, Change, CircuitKind, FleetCircuit
from notification_sender.policy.breaker import API
from tests.oracles.fleet import MemoryFleet
from tests.virtual import VirtualClock


class CountingFleet(MemoryFleet):
    """Counts the questions of all processes."""

    questions = 0

    async def try_acquire_probe(self, api: str, seconds: float) -> bool:
        self.questions += 1
        return await super().try_acquire_probe(api, seconds)


class Processes:
    """Two processes with one circuit each, of the same API."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.fleet = CountingFleet(clock=self.clock, period=1.0)
        kind = CircuitKind("api", API, self.fleet, self.clock, lambda: 0.5, probe_timeout=10.0, probe_alone=True)
        self.here, self.there = (FleetCircuit("incidents", kind, {"api": "incidents"}) for _ in range(2))

    def tell(self, change: Change | None) -> None:
        """As the owners of the circuits do."""
        assert change is not None
        for circuit in (self.here, self.there):
            circuit.apply(change)


@pytest.fixture
def processes() -> Processes:
    return Processes()


async def test_a_probe_that_fails_doubles_the_pause_of_whichever_process_made_the_last(processes: Processes) -> None:
    processes.tell(processes.here.open())
    for circuit, pause in ((processes.there, 2.0), (processes.here, 4.0), (processes.there, 8.0)):
        processes.clock.jump(circuit.probe_in)
        assert await circuit.acquire_probe()
        processes.tell(circuit.judge(well=False, conclusive=True))
        await circuit.release_probe()
        assert processes.here.probe_in == processes.there.probe_in == pause


async def test_a_pause_that_the_other_side_asked_for_does_not_lengthen_those_of_failures(processes: Processes) -> None:
    processes.tell(Change("asked", 60.0))
    assert (processes.there.asked, processes.there.probe_in) == (True, 60.0)
    processes.clock.jump(60.0)
    processes.tell(processes.there.judge(well=False, conclusive=True))
    assert processes.here.probe_in == API.shortest


async def test_a_process_asks_the_fleet_for_the_probe_once_a_second(processes: Processes) -> None:
    processes.tell(processes.here.open())
    processes.clock.jump(1.0)
    assert await processes.here.acquire_probe()
    for _ in range(10):
        assert not await processes.there.acquire_probe()
    assert processes.fleet.questions == 2
    processes.clock.jump(BETWEEN_QUESTIONS)
    assert not await processes.there.acquire_probe()
    assert processes.fleet.questions == 3


async def test_a_probe_that_goes_well_closes_the_circuit_in_all_processes(processes: Processes) -> None:
    processes.tell(processes.here.open())
    processes.clock.jump(1.0)
    processes.tell(processes.there.judge(well=True, conclusive=True))
    assert not processes.here.is_open
    assert processes.here.has_no_failures
