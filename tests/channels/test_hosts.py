"""What is remembered of hosts: only what speaks against them, and not without end."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notification_sender.adapters.memory.pubsub import MemoryPubSub
from notification_sender.channels import hosts as hosts_module
from notification_sender.channels import known_host
from notification_sender.channels.hosts import LISTED, LONGEST_PART, MOST, WHOLE, Hosts
from notification_sender.channels.known_host import BEARABLE, LONGEST_TURN, SLOW, SendPermit
from notification_sender.fleet.circuit import BETWEEN_QUESTIONS
from notification_sender.model.override import Override
from notification_sender.policy.breaker import HOST
from tests.oracles.fleet import MemoryFleet
from tests.virtual import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def hosts(clock: VirtualClock) -> Hosts:
    return Hosts(
        fleet=MemoryFleet(clock=clock, period=1.0), pubsub=MemoryPubSub(), clock=clock, dice=lambda: 0.5, timeout=30.0
    )


async def end(hosts: Hosts, host: str, *, well: bool, organization: str = "org") -> None:
    permit = await hosts.acquire(host, organization)
    permit.well = well
    permit.begun -= SLOW
    hosts.release(permit)


async def test_one_that_is_well_is_not_remembered_and_one_that_recovered_is_forgotten(hosts: Hosts) -> None:
    await end(hosts, "well", well=True)
    assert not hosts._hosts
    await end(hosts, "once", well=False)
    assert list(hosts._hosts) == [("once", "org")]
    for _ in range(HOST.last):
        await end(hosts, "once", well=True)
    assert not hosts._hosts


@pytest.mark.parametrize("answered", [True, False])
async def test_one_that_fails_quickly_is_left_alone_only_after_five_minutes_of_nothing_but_failures(
    hosts: Hosts, clock: VirtualClock, *, answered: bool
) -> None:
    begin, away = clock.now(), []
    while clock.now() < begin + 600:
        permit = await hosts.acquire("host", "org")
        if permit.away:
            away.append(clock.now() - begin)
        else:
            permit.well, permit.answered = round(clock.now() - begin) == 180, answered
            hosts.release(permit)
        clock.jump(1.0)
    assert 180 + BEARABLE < min(away) < 180 + BEARABLE + HOST.last


async def test_of_too_many_that_fail_the_latest_are_remembered(hosts: Hosts) -> None:
    for number in range(MOST + 5):
        await end(hosts, f"host-{number}", well=False)
    assert len(hosts._hosts) == MOST
    assert ("host-4", "org") not in hosts._hosts


async def test_people_are_told_which_are_out_and_when_they_are_tried(hosts: Hosts) -> None:
    for number in range(LISTED + 1):
        for _ in range(HOST.failures):
            await end(hosts, f"host-{number}", well=False)
    assert hosts.out == LISTED + 1
    assert len(hosts.summary()) == LISTED
    assert hosts.summary()[0] == {
        "host": "host-0",
        "organization": "org",
        "since": "2026-03-06T08:26:00+00:00",
        "probe_in": 1.0,
    }


async def test_before_any_work_it_is_known_that_a_host_is_out_and_when_a_probe_is_due(
    hosts: Hosts, clock: VirtualClock
) -> None:
    assert not hosts.is_out("host", "org")
    permits = [await hosts.acquire("host", "org") for _ in range(HOST.failures)]
    clock.jump(SLOW)
    for permit in permits:
        permit.well = False
        hosts.release(permit)
    assert (hosts.is_out("host", "org"), hosts.is_out("host", "other")) == (True, False)
    assert hosts.away("host", "org") == pytest.approx(1.0, abs=0.2)
    clock.jump(2.0)
    assert [hosts.away("host", "org") for _ in range(3)] == [0.0, BETWEEN_QUESTIONS, BETWEEN_QUESTIONS]
    probe = await hosts.acquire("host", "org")
    assert probe.probe
    clock.jump(15.0)
    assert hosts.away("host", "org") == BETWEEN_QUESTIONS


async def test_the_longer_a_host_is_out_the_longer_what_is_deferred_stays_away_but_not_for_long(
    hosts: Hosts, clock: VirtualClock
) -> None:
    permits = [await hosts.acquire("host", "org") for _ in range(HOST.failures)]
    clock.jump(SLOW)
    for permit in permits:
        permit.well = False
        hosts.release(permit)
    waits = []
    for seconds in (0.5, 10.0, 100.0):
        clock.jump(seconds)
        if not hosts.away("host", "org"):
            assert (await hosts.acquire("host", "org")).probe
        waits.append((await hosts.acquire("host", "org")).away)
    assert waits == pytest.approx([0.5, 5.25, LONGEST_PART], abs=0.3)


# --- several organizations behind one host -----------------------------------------------------------------


class Fleet:
    """Some processes that hear of each other."""

    def __init__(self, clock: VirtualClock, size: int = 2) -> None:
        pubsub, fleet = MemoryPubSub(), MemoryFleet(clock=clock, period=1.0)
        self.clock = clock
        self.pods = [
            Hosts(fleet=fleet, pubsub=pubsub, clock=clock, dice=lambda: 0.5, timeout=30.0) for _ in range(size)
        ]

    async def send(self, pod: int, organization: str, *, well: bool) -> SendPermit:
        """As a worker does it: only if it is let."""
        permit = await self.pods[pod].acquire("host", organization)
        if not permit.away:
            permit.well = well
            permit.begun -= SLOW
        self.pods[pod].release(permit)
        for _ in range(5):  # the messages
            await asyncio.sleep(0)
        return permit

    async def fails(self, *organizations: str, times: int = HOST.failures) -> None:
        for number in range(times):
            await self.send(0, organizations[number % len(organizations)], well=False)

    async def close(self) -> None:
        for pod in self.pods:
            await pod.close()


@pytest.fixture
async def pods(clock: VirtualClock) -> AsyncIterator[Fleet]:
    made = Fleet(clock)
    yield made
    await made.close()


STEPS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(["bad-1", "bad-2", "bad-3", "bad-4", "well"]), st.floats(0, 3)),
    min_size=50,
    max_size=150,
)


@given(STEPS)
@settings(max_examples=settings().max_examples // 2, deadline=None)
async def test_one_whose_sends_succeed_is_never_held_by_what_fails_of_others(
    steps: list[tuple[int, str, float]],
) -> None:
    pods, last = Fleet(VirtualClock()), 0.0
    await pods.send(0, "well", well=True)
    for pod, organization, later in steps:
        pods.clock.jump(later)
        last += later
        sends = "well" if last > HOST.window / 2 else organization  # it sends now and then
        permit = await pods.send(pod, sends, well=sends == "well")
        if sends == "well":
            last = 0.0
            assert not permit.away
    await pods.close()


@given(STEPS)
@settings(max_examples=settings().max_examples // 3, deadline=None)
async def test_one_that_fails_holds_nobody_but_itself(steps: list[tuple[int, str, float]]) -> None:
    """As before for an organization that is alone there, and nothing at all for another."""
    pods = Fleet(VirtualClock())
    for pod, _, later in steps:
        pods.clock.jump(later / 10)
        await pods.send(pod, "bad", well=False)
    assert (await pods.pods[0].acquire("host", "other")).away == 0
    await pods.close()


async def test_the_host_is_out_for_all_when_several_organizations_fail_and_none_succeeds(pods: Fleet) -> None:
    await pods.fails("a", "b", "c")
    for pod in pods.pods:
        assert (await pod.acquire("host", "new")).away
        assert [it["organization"] for it in pod.summary()] == [None]


async def test_one_process_of_the_fleet_probes_and_the_next_may_when_that_one_is_done(pods: Fleet) -> None:
    await pods.fails("a")
    pods.clock.jump(1.0)
    first = await pods.pods[0].acquire("host", "a")
    assert (first.probe, first.away) == ("a", 0.0)
    assert (await pods.pods[1].acquire("host", "a")).away
    pods.pods[0].release(first)  # nothing was sent
    await asyncio.sleep(0)
    pods.clock.jump(BETWEEN_QUESTIONS)
    assert (await pods.pods[1].acquire("host", "a")).probe == "a"


async def test_another_process_in_which_a_send_went_well_says_no(pods: Fleet) -> None:
    await pods.send(1, "well", well=True)
    for number in range(HOST.failures):
        await pods.send(0, "abc"[number % 3], well=False)
    assert [pod.out for pod in pods.pods] == [0, 0]


async def test_those_find_out_by_turns_who_have_not_done_so_and_one_that_is_alone_waits_seconds(pods: Fleet) -> None:
    await pods.fails("a", "b", "c")
    tried = []
    for _ in range(6):
        pods.clock.jump(HOST.longest * 1.2)
        for _ in range(2):
            probes = [await pods.send(0, it, well=False) for it in "abc"]
            tried += [it.organization for it in probes if it.probe == WHOLE]
            pods.clock.jump(BETWEEN_QUESTIONS)
    assert tried == ["a", "b", "c"] * 2
    pods.clock.jump(HOST.longest * 1.2)
    waits = (await pods.send(0, "c", well=True)).away
    assert BETWEEN_QUESTIONS < waits <= LONGEST_TURN * BETWEEN_QUESTIONS + 1
    pods.clock.jump(waits)
    assert (await pods.send(0, "c", well=True)).probe == WHOLE


async def test_after_it_is_well_again_each_that_is_out_by_itself_is_tried_at_once(pods: Fleet) -> None:
    await pods.fails("a")
    await pods.fails("b", "c", "d")
    assert pods.pods[0].out == 2
    pods.clock.jump(1.0)
    assert (await pods.send(0, "new", well=True)).probe == WHOLE
    assert [it["organization"] for it in pods.pods[1].summary()] == ["a"]
    assert (await pods.send(1, "a", well=True)).probe == "a"
    assert [pod.out for pod in pods.pods] == [0, 0]


async def test_what_a_server_asks_for_is_no_evidence_that_a_success_would_outweigh(pods: Fleet) -> None:
    await pods.send(0, "a", well=True)
    permit = await pods.pods[0].acquire("host", "a")
    under_way = await pods.pods[1].acquire("host", "b")
    permit.wish = 30.0
    pods.pods[0].release(permit)
    await asyncio.sleep(0)
    under_way.well = True
    pods.pods[1].release(under_way)
    await asyncio.sleep(0)
    assert [(await pod.acquire("host", "c")).away > 29 for pod in pods.pods] == [True, True]


async def test_one_with_thousands_of_dead_hosts_has_none_of_others_forgotten(hosts: Hosts) -> None:
    await end(hosts, "host", well=False, organization="small")
    for number in range(MOST + 5):
        await end(hosts, f"host-{number}", well=False, organization="large")
    assert len(hosts._hosts) == MOST
    assert ("host", "small") in hosts._hosts


async def test_news_of_an_older_process_is_not_taken_for_another_host(hosts: Hosts) -> None:
    hosts._on_message("out 1000 hooks.example:443")
    hosts._on_message("out x * . host")
    assert hosts.out == 0


async def test_what_our_own_loop_lost_makes_no_host_slow(
    hosts: Hosts, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is refused at once, and we come to see it much later."""
    lost = [0.0]
    for module in (hosts_module, known_host):
        monkeypatch.setattr(module, "lost_seconds", lambda: lost[0])
    for _ in range(HOST.failures):
        permit = await hosts.acquire("host", "org")
        clock.jump(2 * SLOW)
        lost[0] += 2 * SLOW
        permit.well = False
        hosts.release(permit)
    assert hosts.out == 0


@pytest.mark.parametrize(("owner", "others"), [("*", True), ("org", False)])
async def test_a_host_that_an_operator_holds_open_gets_nothing_until_he_ends_that(
    hosts: Hosts, clock: VirtualClock, owner: str, *, others: bool
) -> None:
    now = clock.now()
    hosts.force([Override("circuit", f"host/{owner}/host:8443", now, now + 60.0, "anna", "open")])
    assert (await hosts.acquire("host:8443", "org")).away == 60.0
    assert bool((await hosts.acquire("host:8443", "other")).away) is others
    assert not (await hosts.acquire("another", "org")).away
    hosts.force([])
    assert not (await hosts.acquire("host:8443", "org")).away


async def test_a_host_that_an_operator_holds_closed_is_sent_to_whatever_fails_there(
    hosts: Hosts, clock: VirtualClock
) -> None:
    for _ in range(HOST.last):
        await end(hosts, "host", well=False)
    assert (await hosts.acquire("host", "org")).away
    now = clock.now()
    hosts.force([Override("circuit", "host/org/host", now, now + 60.0, "anna", "closed")])
    assert not (await hosts.acquire("host", "org")).away
    [opened] = hosts.open_circuits()
    assert (opened.subject, opened.since) == ("host/org/host", now)
    hosts.force([])
    assert (await hosts.acquire("host", "org")).away
