"""What is remembered of hosts: only what speaks against them, and not without end."""

import pytest
from virtual import VirtualClock

from notification_sender.adapters.memory_fleet import MemoryFleet
from notification_sender.adapters.memory_news import MemoryNews
from notification_sender.channels.hosts import BEARABLE, LISTED, MOST, SLOW, Hosts
from notification_sender.policy.breaker import HOST


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def hosts(clock: VirtualClock) -> Hosts:
    return Hosts(
        fleet=MemoryFleet(clock=clock, period=1.0), news=MemoryNews(), clock=clock, dice=lambda: 0.5, timeout=30.0
    )


async def end(hosts: Hosts, host: str, *, well: bool) -> None:
    visit = await hosts.enter(host)
    visit.well = well
    visit.begun -= SLOW
    hosts.leave(visit)


async def test_one_that_is_well_is_not_remembered_and_one_that_recovered_is_forgotten(hosts: Hosts) -> None:
    await end(hosts, "well", well=True)
    assert not hosts._hosts
    await end(hosts, "once", well=False)
    assert list(hosts._hosts) == ["once"]
    for _ in range(HOST.last):
        await end(hosts, "once", well=True)
    assert not hosts._hosts


@pytest.mark.parametrize("answered", [True, False])
async def test_one_that_fails_quickly_is_left_alone_only_after_five_minutes_of_nothing_but_failures(
    hosts: Hosts, clock: VirtualClock, *, answered: bool
) -> None:
    begin, away = clock.now(), []
    while clock.now() < begin + 600:
        visit = await hosts.enter("host")
        if visit.away:
            away.append(clock.now() - begin)
        else:
            visit.well, visit.answered = round(clock.now() - begin) == 180, answered
            hosts.leave(visit)
        clock.jump(1.0)
    assert 180 + BEARABLE < min(away) < 180 + BEARABLE + HOST.last


async def test_of_too_many_that_fail_the_latest_are_remembered(hosts: Hosts) -> None:
    for number in range(MOST + 5):
        await end(hosts, f"host-{number}", well=False)
    assert len(hosts._hosts) == MOST
    assert "host-4" not in hosts._hosts


async def test_people_are_told_which_are_out_and_when_they_are_tried(hosts: Hosts) -> None:
    for number in range(LISTED + 1):
        for _ in range(HOST.failures):
            await end(hosts, f"host-{number}", well=False)
    assert hosts.out == LISTED + 1
    assert len(hosts.summary()) == LISTED
    assert hosts.summary()[0] == {"host": "host-0", "since": "2026-03-06T08:26:00+00:00", "probe_in": 1.0}
