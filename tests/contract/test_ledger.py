"""What the worker may rely on, whichever store it is: the same tests in plain Python, embedded, and on Redis."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from notification_sender.adapters.memory.redis import EmbeddedRedis
from notification_sender.adapters.redis.client import Redis, Store
from notification_sender.adapters.redis.ledger import RedisLedger
from notification_sender.model.errors import Unready
from notification_sender.policy.attempt_report import Verdict
from notification_sender.policy.audit import RecordedOutcome, words
from notification_sender.policy.limits import SECOND, Limit
from notification_sender.ports.ledger import (
    AdmissionRequest,
    AdmitReply,
    AttemptReport,
    Busy,
    Claim,
    Claimed,
    Crashed,
    Key,
    Settled,
    Stale,
    Suspect,
    TerminalState,
    Throttled,
    UnitEnd,
    Unwanted,
    WriteResult,
)
from tests.oracles.ledger import MemoryLedger
from tests.steered import Steered
from tests.virtual import VirtualClock

LEASE, WEEK, HORIZON = 30.0, 604_800.0, 3600.0
DAY = 86_400.0
TIMES = {"lease": LEASE, "ledger_ttl": WEEK, "story_ttl": 2 * DAY, "horizon": HORIZON, "disable_after": 5 * DAY}
UNIT = Key("org-1", "unit", "wu-1@0123456789abcdef")
HOOK = Key("org-1", "destination", "noc:https://hooks.example/{x}")
READER = Key("org-1", "recipient", "0123456789abcdef")
OFF = Unwanted("destination_disabled")
DELIVERED = TerminalState("delivered", "200 OK")
DEAD = TerminalState("dead", "rejected")
SLOW = Limit("webhook", 10 * SECOND, 1)


def report(verdict: Verdict, hold: float = 0.0) -> AttemptReport:
    return AttemptReport(HOOK, verdict, '{"class":"…"}', hold)


def notification(number: int = 1) -> Key:
    return Key("org-1", "notification", f"n-{number}")


def ask(number: int, token: str, *limits: Limit) -> AdmissionRequest:
    return AdmissionRequest(notification(number), token, 0, 1, destination=HOOK, recipient=READER, limits=limits)


@dataclass
class Stand:
    """One kind of store under test."""

    clock: VirtualClock
    ledger: MemoryLedger | RedisLedger

    async def mine(
        self, key: Key = UNIT, token: str = "t-1", attempt: int = 1, *, replays: int = 0, unknown: bool = False
    ) -> Claim:
        reply = await self.ledger.claim(key, token, attempt, replays=replays)
        assert isinstance(reply, Claimed)
        assert reply.unknown == unknown
        return reply.claim

    async def admit(self, number: int = 1, *limits: Limit, **changed: Any) -> AdmitReply:
        return await self.ledger.admit(replace(ask(number, f"t-{number}", *limits), **changed))


def on_redis(store: Store, clock: VirtualClock) -> Stand:
    ledger = RedisLedger(redis=Steered(store, clock), prefix="ns", **TIMES)
    return Stand(clock, ledger)


@pytest.fixture(params=["memory", "embedded", "redis"])
async def stand(request: pytest.FixtureRequest) -> AsyncIterator[Stand]:
    clock = VirtualClock()
    if request.param == "memory":
        ledger = MemoryLedger(clock=clock, **TIMES)
        yield Stand(clock, ledger)
        return
    store = EmbeddedRedis() if request.param == "embedded" else Redis(url=request.getfixturevalue("redis_server"))
    await store.connect()
    yield on_redis(store, clock)
    await store.close()


# --- claims -----------------------------------------------------------------------------------------------


async def test_of_75_copies_at_once_one_is_ours_and_the_others_wait_for_it(stand: Stand) -> None:
    copies = (stand.ledger.claim(UNIT, f"t-{copy}", 1, replays=0) for copy in range(75))
    replies = await asyncio.gather(*copies)
    assert sum(isinstance(reply, Claimed) for reply in replies) == 1
    assert replies.count(Busy(LEASE)) == 74


async def test_a_unit_whose_id_ends_as_a_story_s_key_does_is_a_unit_as_any(stand: Stand) -> None:
    named = [Key("org-1", "unit", it) for it in ("wu", "wu:story", "wu:story:story")]
    for unit in named:
        await stand.ledger.note_deferral(unit, '{"step":"send"}', delay=1.0)
    for unit in named:
        claim = await stand.mine(unit)
        assert isinstance(await stand.ledger.claim(unit, "t-2", 1, replays=0), Busy)
        assert await stand.ledger.finish(claim, TerminalState("done", ""))
        assert await stand.ledger.claim(unit, "t-2", 1, replays=0) == Settled("done")


async def test_asking_again_under_the_same_token_gets_the_same_claim_for_longer(stand: Stand) -> None:
    first = await stand.mine()
    stand.clock.jump(LEASE - 1)
    assert await stand.mine() == first
    assert await stand.ledger.claim(UNIT, "t-2", 1, replays=0) == Busy(LEASE)
    stand.clock.jump(LEASE + 1)
    assert await stand.mine() == first


async def test_asking_again_late_does_not_undo_that_it_has_begun(stand: Stand) -> None:
    assert await stand.ledger.begin(await stand.mine())
    await stand.mine()
    stand.clock.jump(LEASE)
    await stand.mine(token="t-2", unknown=True)


async def test_a_claim_that_ran_out_is_taken_over_and_its_holder_may_send_and_write_no_more(stand: Stand) -> None:
    lost = await stand.mine()
    stand.clock.jump(LEASE)
    ours = await stand.mine(token="t-2")
    assert not await stand.ledger.begin(lost)
    assert ours.fence > lost.fence
    assert not await stand.ledger.finish(lost, DEAD, report("gone"))
    assert not await stand.ledger.release(lost, 2)
    assert not await stand.ledger.renew(lost)
    assert await stand.ledger.finish(ours, DELIVERED)
    assert await stand.ledger.claim(UNIT, "t-3", 1, replays=0) == Settled("delivered")
    assert isinstance(await stand.admit(), Claimed)


async def test_what_was_being_sent_when_its_claim_ran_out_is_unknown_until_it_has_an_outcome(stand: Stand) -> None:
    assert await stand.ledger.begin(await stand.mine())
    for token in ("t-2", "t-3"):
        stand.clock.jump(LEASE)
        claim = await stand.mine(token=token, unknown=True)
    assert await stand.ledger.release(claim, 2)
    await stand.mine(token="t-4", attempt=2)


async def test_a_claim_that_ran_out_and_that_nobody_took_may_still_be_sent(stand: Stand) -> None:
    claim = await stand.mine()
    stand.clock.jump(LEASE + 1)
    assert await stand.ledger.begin(claim)
    assert await stand.ledger.claim(UNIT, "t-2", 1, replays=0) == Busy(LEASE)


async def test_what_the_store_lost_is_not_sent(stand: Stand) -> None:
    assert not await stand.ledger.begin(Claim(UNIT, "t-1", 1))


async def test_a_renewed_claim_stays_ours(stand: Stand) -> None:
    claim = await stand.mine()
    stand.clock.jump(LEASE - 1)
    assert await stand.ledger.renew(claim)
    stand.clock.jump(LEASE - 1)
    assert await stand.ledger.claim(UNIT, "t-2", 1, replays=0) == Busy(1.0)


async def test_the_fifth_takeover_in_a_row_says_that_it_kills_its_workers(stand: Stand) -> None:
    for copy in range(5):
        await stand.mine(token=f"t-{copy}")
        stand.clock.jump(LEASE)
    for token in ("t-5", "t-5"):
        reply = await stand.ledger.claim(UNIT, token, 1, replays=0)
        assert reply == Crashed(Claim(UNIT, "t-5", 6))
    assert await stand.ledger.finish(Claim(UNIT, "t-5", 6), TerminalState("dead", "crashed"))


async def test_what_took_two_workers_with_it_is_given_to_whoever_works_on_no_other_such(stand: Stand) -> None:
    for copy in range(2):
        assert isinstance(await stand.ledger.claim(UNIT, f"t-{copy}", 1, replays=0, alone=False), Claimed)
        stand.clock.jump(LEASE)
    for token in ("t-2", "t-3"):
        assert await stand.ledger.claim(UNIT, token, 1, replays=0, alone=False) == Suspect()
    claim = await stand.mine(token="t-4")
    assert await stand.ledger.claim(UNIT, "t-5", 1, replays=0, alone=False) == Busy(LEASE)
    assert await stand.ledger.release(claim, 1)
    assert isinstance(await stand.ledger.claim(UNIT, "t-6", 1, replays=0, alone=False), Claimed)


async def test_an_outcome_in_between_ends_the_row(stand: Stand) -> None:
    for copy in range(7):
        await stand.mine(token=f"lost-{copy}")
        stand.clock.jump(LEASE)
        claim = await stand.mine(token=f"t-{copy}")
        assert await stand.ledger.release(claim, 1)


async def test_the_copy_of_an_older_attempt_is_stale(stand: Stand) -> None:
    assert await stand.ledger.release(await stand.mine(), 2)
    assert await stand.ledger.claim(UNIT, "t-2", 1, replays=0) == Stale()
    claim = await stand.mine(token="t-3", attempt=2)
    assert await stand.ledger.release(claim, 2)
    assert await stand.mine(token="t-4", attempt=3) == Claim(UNIT, "t-4", 3)


async def test_a_copy_with_a_higher_number_says_that_the_attempt_before_had_an_end(stand: Stand) -> None:
    cut_off = await stand.mine(token="t-1", attempt=1)
    assert await stand.ledger.begin(cut_off)
    stand.clock.jump(LEASE)
    after = await stand.mine(token="t-2", attempt=2)
    assert not await stand.ledger.release(cut_off, 2)
    assert await stand.ledger.finish(after, DELIVERED)


async def test_a_copy_with_a_higher_number_waits_for_a_live_lease_as_everybody_does(stand: Stand) -> None:
    holder = await stand.mine(token="t-1", attempt=1)
    stand.clock.jump(10)
    assert await stand.ledger.claim(UNIT, "t-2", 2, replays=0) == Busy(LEASE - 10)
    assert await stand.ledger.release(holder, 2)
    await stand.mine(token="t-2", attempt=2)


@pytest.mark.parametrize("state", ["delivered", "suppressed", "done"])
async def test_what_is_over_stays_over_even_for_a_replay(stand: Stand, state: Any) -> None:
    assert await stand.ledger.finish(await stand.mine(), TerminalState(state, ""))
    for replays in (0, 1):
        assert await stand.ledger.claim(UNIT, "t-2", 9, replays=replays) == Settled(state)


async def test_a_replay_begins_again_what_is_dead(stand: Stand) -> None:
    claim = await stand.mine(attempt=4)
    assert await stand.ledger.finish(claim, DEAD)
    assert await stand.ledger.claim(UNIT, "t-2", 4, replays=0) == Settled("dead")
    assert await stand.ledger.claim(UNIT, "t-2", 5, replays=0) == Settled("dead")
    reply = await stand.ledger.claim(UNIT, "t-3", 1, replays=1)
    assert reply == Claimed(Claim(UNIT, "t-3", claim.fence + 1), unknown=False)
    assert not await stand.ledger.finish(claim, DEAD)


async def test_a_replay_that_is_handed_out_twice_opens_what_is_dead_once(stand: Stand) -> None:
    assert await stand.ledger.finish(await stand.mine(attempt=4), DEAD)
    assert await stand.ledger.finish(await stand.mine(token="t-2", replays=1), DEAD)
    assert await stand.ledger.claim(UNIT, "t-3", 1, replays=1) == Settled("dead")
    claim = await stand.mine(token="t-4", replays=2)
    assert await stand.ledger.claim(UNIT, "t-5", 1, replays=1) == Stale()
    assert await stand.ledger.release(claim, 2)
    assert await stand.ledger.claim(UNIT, "t-6", 1, replays=2) == Stale()
    await stand.mine(token="t-7", attempt=2, replays=2)


async def test_a_replay_that_is_throttled_is_open_and_opens_nothing_twice(stand: Stand) -> None:
    await stand.admit(2, SLOW)
    assert await stand.ledger.finish(await stand.mine(notification(1), attempt=4), DEAD)
    assert await stand.admit(1, SLOW, replays=1) == Throttled(10.0, "webhook")
    stand.clock.jump(10)
    reply = await stand.admit(1, SLOW, replays=1)
    assert isinstance(reply, Claimed)
    assert await stand.ledger.finish(reply.claim, DEAD)
    assert await stand.admit(1, SLOW, replays=1) == Settled("dead")


async def test_what_is_moved_back_and_not_wanted_any_more_may_be_noted_and_is_over(stand: Stand) -> None:
    gone = await stand.mine(notification(1))
    assert await stand.ledger.finish(gone, DEAD, report("gone"))
    assert await stand.admit(1, replays=1) == OFF
    await stand.ledger.note(notification(1), TerminalState("suppressed", "destination_disabled"))
    assert await stand.admit(1, replays=1) == Settled("suppressed")


async def test_a_replay_goes_before_what_still_waits_from_before_it(stand: Stand) -> None:
    """Somebody else went on with it after its letter was written."""
    assert await stand.ledger.release(await stand.mine(), 2)
    assert await stand.ledger.release(await stand.mine(token="t-2", replays=1), 2)
    assert await stand.ledger.claim(UNIT, "t-3", 2, replays=0) == Stale()
    assert await stand.ledger.claim(UNIT, "t-3", 3, replays=0) == Stale()


async def test_a_replay_that_comes_before_its_death_is_recorded_waits_for_that(stand: Stand) -> None:
    claim = await stand.mine(attempt=4)
    assert await stand.ledger.claim(UNIT, "t-2", 1, replays=1) == Busy(LEASE)
    assert await stand.ledger.finish(claim, DEAD)
    await stand.mine(token="t-2", replays=1)


async def test_a_replay_of_what_its_worker_had_no_time_to_record_is_nothing_taken_over(stand: Stand) -> None:
    assert await stand.ledger.begin(await stand.mine(attempt=4))
    stand.clock.jump(LEASE)
    await stand.mine(token="t-2", replays=1)
    assert await stand.ledger.claim(UNIT, "t-1", 4, replays=0) == Stale()


async def test_settling_twice_is_no_harm_and_settling_otherwise_is_refused(stand: Stand) -> None:
    claim = await stand.mine()
    assert await stand.ledger.finish(claim, DELIVERED)
    assert await stand.ledger.finish(claim, DELIVERED)
    assert not await stand.ledger.finish(claim, DEAD)
    assert not await stand.ledger.release(claim, 2)
    assert not await stand.ledger.renew(claim)


async def test_what_was_given_up_is_not_ours_to_settle(stand: Stand) -> None:
    claim = await stand.mine()
    assert await stand.ledger.release(claim, 1)
    assert await stand.ledger.release(claim, 1)
    assert not await stand.ledger.finish(claim, DELIVERED)
    assert not await stand.ledger.renew(claim)
    await stand.mine(token="t-2")


async def test_a_unit_ends_in_one_step_with_its_only_notification(stand: Stand) -> None:
    unit, claim = await stand.mine(), await stand.mine(notification())
    await stand.ledger.register("batch", 1, UNIT)
    end = UnitEnd(unit, "n-1")
    for _ in range(2):  # the reply to the first may be lost
        assert await stand.ledger.finish(claim, DELIVERED, None, end) == WriteResult(ours=True, unit_ended=True)
    assert await stand.ledger.claim(UNIT, "t-2", 1, replays=0) == Settled("done")
    assert await stand.ledger.unit_states("batch", "org-1") == {
        UNIT.id: [RecordedOutcome("delivered", notification_id="n-1")]
    }


async def test_a_unit_ends_in_one_step_with_the_parking_of_its_only_notification(stand: Stand) -> None:
    unit, claim = await stand.mine(), await stand.mine(notification())
    end = UnitEnd(unit, "n-1")
    written = await stand.ledger.release(claim, 2, delay=5.0, report=report("failed"), unit=end)
    assert written == WriteResult(ours=True, unit_ended=True)
    assert await stand.ledger.claim(UNIT, "t-2", 1, replays=0) == Settled("done")
    await stand.mine(notification(), token="t-2", attempt=2)


async def test_with_a_notification_ends_no_unit_that_another_worker_holds(stand: Stand) -> None:
    unit = await stand.mine()
    stand.clock.jump(LEASE)
    await stand.mine(token="t-2")
    claim = await stand.mine(notification())
    assert await stand.ledger.finish(claim, DELIVERED, None, UnitEnd(unit, "n-1")) == WriteResult(ours=True)
    assert isinstance(await stand.ledger.claim(UNIT, "t-3", 1, replays=0), Busy)


async def test_a_notification_that_is_lost_ends_no_unit(stand: Stand) -> None:
    unit, claim = await stand.mine(), await stand.mine(notification())
    stand.clock.jump(LEASE)
    await stand.mine(notification(), token="t-2")
    assert not (await stand.ledger.finish(claim, DELIVERED, None, UnitEnd(unit, "n-1"))).unit_ended
    await stand.mine(token="t-2")


async def test_a_claim_for_a_send_that_follows_at_once_begins_it(stand: Stand) -> None:
    reply = await stand.admit(begun=1.0)
    assert isinstance(reply, Claimed)
    assert not reply.unknown
    stand.clock.jump(LEASE)
    await stand.mine(notification(), token="t-2", unknown=True)


# --- notes ------------------------------------------------------------------------------------------------


async def test_a_note_is_the_end_of_what_nobody_holds(stand: Stand) -> None:
    await stand.ledger.note(UNIT, TerminalState("suppressed", "expired"))
    assert await stand.ledger.claim(UNIT, "t-1", 1, replays=0) == Settled("suppressed")
    assert await stand.ledger.release(await stand.mine(notification(1)), 2)
    await stand.mine(notification(2))
    stand.clock.jump(LEASE)
    for number in (1, 2):
        await stand.ledger.note(notification(number), TerminalState("suppressed", "expired"))
        assert await stand.admit(number, token="t-9") == Settled("suppressed")


async def test_a_note_overwrites_neither_an_end_nor_a_claim(stand: Stand) -> None:
    claim = await stand.mine()
    await stand.ledger.note(UNIT, TerminalState("suppressed", "expired"))
    assert await stand.ledger.finish(claim, DELIVERED)
    await stand.ledger.note(UNIT, TerminalState("suppressed", "expired"))
    assert await stand.ledger.claim(UNIT, "t-2", 1, replays=0) == Settled("delivered")


# --- admission --------------------------------------------------------------------------------------------


async def test_a_destination_that_wants_no_more_is_off_at_this_address_for_a_week(stand: Stand) -> None:
    said = await stand.ledger.finish(await stand.mine(notification()), TerminalState("dead", "gone"), report("gone"))
    assert said == WriteResult(ours=True, transition="disabled")
    assert await stand.admit(2) == OFF
    elsewhere = replace(HOOK, id="noc:https://hooks.example/y")
    assert isinstance(await stand.admit(3, destination=elsewhere), Claimed)
    stand.clock.jump(7 * DAY)
    assert isinstance(await stand.admit(2), Claimed)


async def failing(stand: Stand, number: int, verdict: Verdict = "failed") -> WriteResult:
    """One more attempt at the destination that ends so."""
    claim = await stand.mine(notification(number), f"t-{number}")
    return await stand.ledger.release(claim, 2, report=report(verdict))


async def test_a_destination_that_accepts_nothing_for_five_days_is_off_until_something_is_accepted(
    stand: Stand,
) -> None:
    for number in range(5):
        assert await failing(stand, number) == WriteResult(ours=True)
        stand.clock.jump(DAY)
    assert await failing(stand, 5) == WriteResult(ours=True, transition="disabled")
    assert await failing(stand, 6) == WriteResult(ours=True)
    assert await stand.admit(9) == OFF
    stand.clock.jump(7 * DAY)
    assert await failing(stand, 7) == WriteResult(ours=True)
    assert isinstance(await stand.admit(9), Claimed)
    assert await failing(stand, 8, "accepted") == WriteResult(ours=True, transition="recovered")
    assert await failing(stand, 10, "accepted") == WriteResult(ours=True)


async def test_one_acceptance_in_five_days_keeps_a_destination_on(stand: Stand) -> None:
    for number, verdict in enumerate(("failed", "accepted", "neither", "failed", "failed")):
        assert await failing(stand, number, verdict) == WriteResult(ours=True)
        stand.clock.jump(2 * DAY)
    assert isinstance(await stand.admit(9), Claimed)


async def test_a_destination_that_asks_us_to_wait_gets_nothing_until_then(stand: Stand) -> None:
    claim = await stand.mine(notification(1))
    assert await stand.ledger.release(claim, 2, delay=90.0, report=report("failed", hold=60.0))
    assert await stand.admit(2) == Throttled(60.0, "retry_after")
    stand.clock.jump(59.0)
    assert await stand.admit(2) == Throttled(1.0, "retry_after")
    stand.clock.jump(1.0)
    assert isinstance(await stand.admit(2), Claimed)


async def test_after_a_burst_each_waits_for_its_own_slot_and_asks_just_twice(stand: Stand) -> None:
    limit = Limit("webhook", 10 * SECOND, 2)
    for number in (1, 2):
        assert isinstance(await stand.admit(number, limit), Claimed)
    for number in (3, 4, 5):
        assert await stand.admit(number, limit) == Throttled(10.0 * (number - 2), "webhook")
    for number in (3, 4, 5):
        stand.clock.jump(9.0)
        assert await stand.admit(number, limit) == Throttled(1.0, "webhook")
        stand.clock.jump(1.0)
        assert isinstance(await stand.admit(number, limit), Claimed)
    assert await stand.admit(6, limit) == Throttled(10.0, "webhook")


async def test_a_booked_slot_is_good_however_late_unless_more_was_sent_than_is_due(stand: Stand) -> None:
    assert isinstance(await stand.admit(1, SLOW), Claimed)
    for number in (2, 3, 4):
        assert await stand.admit(number, SLOW) == Throttled(10.0 * (number - 1), "webhook")
    stand.clock.jump(25.0)
    assert isinstance(await stand.admit(2, SLOW), Claimed)
    assert await stand.admit(3, SLOW) == Throttled(15.0, "webhook")
    stand.clock.jump(10.0)
    assert isinstance(await stand.admit(4, SLOW), Claimed)


async def test_asking_again_under_the_same_token_spends_nothing(stand: Stand) -> None:
    limit = replace(SLOW, burst=2)
    first = await stand.admit(1, limit)
    assert isinstance(first, Claimed)
    assert await stand.admit(1, limit) == first
    assert isinstance(await stand.admit(2, limit), Claimed)
    assert isinstance(await stand.admit(3, limit), Throttled)


async def test_a_refusal_by_one_limit_spends_none_of_the_others(stand: Stand) -> None:
    own = Limit("noc-hook", 100 * SECOND, 1)
    assert isinstance(await stand.admit(1, own), Claimed)
    assert await stand.admit(2, SLOW, own) == Throttled(100.0, "noc-hook")
    assert isinstance(await stand.admit(3, SLOW), Claimed)


async def test_what_was_booked_at_one_rate_holds_nothing_up_at_another(stand: Stand) -> None:
    configured = Limit("webhook", 300 * SECOND, 1)
    quick, slow = Limit("webhook", SECOND // 100, 10, era="1"), Limit("webhook", 300 * SECOND, 1, era="2")
    assert isinstance(await stand.admit(0, configured), Claimed)
    for number in range(1, 11):
        assert await stand.admit(number, configured) == Throttled(300.0 * number, "webhook")
    for number in range(1, 11):
        assert isinstance(await stand.admit(number, quick), Claimed)
    own = Limit("webhook", SECOND, 2)
    assert isinstance(await stand.admit(11, slow, key=Key("org-2", "notification", "n-0")), Claimed)
    for number in range(1, 11):
        key = Key("org-2", "notification", f"n-{number}")
        assert await stand.admit(number, slow, key=key) == Throttled(300.0 * number, "webhook")
    for number in range(1, 3):
        assert isinstance(await stand.admit(number, own, key=Key("org-2", "notification", f"n-{number}")), Claimed)
    assert await stand.admit(3, own, key=Key("org-2", "notification", "n-3")) == Throttled(1.0, "webhook")


async def test_limits_of_another_organization_are_others(stand: Stand) -> None:
    assert isinstance(await stand.admit(1, SLOW), Claimed)
    assert isinstance(await stand.admit(1, SLOW, key=Key("org-2", "notification", "n-1")), Claimed)


async def test_nothing_is_booked_beyond_the_horizon(stand: Stand) -> None:
    slow = Limit("webhook", round(0.6 * HORIZON) * SECOND, 1)
    assert isinstance(await stand.admit(1, slow), Claimed)
    assert await stand.admit(2, slow) == Throttled(0.6 * HORIZON, "webhook")
    assert await stand.admit(3, slow) == Throttled(HORIZON, "webhook")
    stand.clock.jump(HORIZON)
    assert await stand.admit(3, slow) == Throttled(0.2 * HORIZON, "webhook")


async def test_after_a_clock_was_set_back_the_booked_are_late_by_no_more_than_a_burst_takes(stand: Stand) -> None:
    limit = replace(SLOW, burst=2)
    for number in (1, 2):
        assert isinstance(await stand.admit(number, limit), Claimed)
    for number in (3, 4, 5):
        assert await stand.admit(number, limit) == Throttled(10.0 * (number - 2), "webhook")
    stand.clock.jump(10.0 - 1800.0)
    assert await stand.admit(3, limit) == Throttled(10.2, "webhook")
    stand.clock.jump(10.2)
    for number in (3, 4, 5):
        assert isinstance(await stand.admit(number, limit), Claimed)
        stand.clock.jump(10.0)


async def test_a_wait_keeps_in_mind_that_a_claim_ran_out(stand: Stand) -> None:
    lost = await stand.mine(notification(1))
    assert await stand.ledger.begin(lost)
    assert isinstance(await stand.admit(2, SLOW), Claimed)
    stand.clock.jump(LEASE)
    assert isinstance(await stand.admit(3, SLOW), Claimed)
    assert await stand.admit(1, SLOW, token="t-9") == Throttled(10.0, "webhook")
    stand.clock.jump(10.0)
    reply = await stand.admit(1, SLOW, token="t-9")
    assert reply == Claimed(Claim(notification(1), "t-9", lost.fence + 1), unknown=True)


async def test_while_others_wait_for_it_a_late_holder_may_still_settle(stand: Stand) -> None:
    late = await stand.mine(notification(1))
    stand.clock.jump(LEASE)
    assert isinstance(await stand.admit(2, SLOW), Claimed)
    assert isinstance(await stand.admit(1, SLOW, token="t-9"), Throttled)
    assert await stand.ledger.finish(late, DELIVERED)
    assert await stand.admit(1, SLOW, token="t-9") == Settled("delivered")


# --- batches ----------------------------------------------------------------------------------------------


async def test_the_rollcall_says_what_became_of_every_unit_that_was_seen(stand: Stand) -> None:
    assert await stand.ledger.batches("b-1") == {}
    assert await stand.ledger.unit_states("b-1", "org-1") == {}
    units = {state: Key("org-1", "unit", state) for state in ("told", "nobody", "dead", "suppressed", "in hand")}
    for key in (*units.values(), units["told"]):
        await stand.ledger.register("b-1", 7, key)
    for number, final in enumerate(
        (DELIVERED, TerminalState("dead", words("rejected", "noc")), TerminalState("suppressed", "expired"))
    ):
        assert await stand.ledger.finish(await stand.mine(notification(number)), final)
    await stand.mine(notification(3))
    ids = [f"n-{number}" for number in range(5)]
    for state, final in (
        ("told", TerminalState("done", "", ids)),
        ("nobody", TerminalState("done", "")),
        ("dead", DEAD),
        ("suppressed", TerminalState("suppressed", "expired")),
    ):
        assert await stand.ledger.finish(await stand.mine(units[state]), final)
    await stand.mine(units["in hand"])
    assert await stand.ledger.batches("b-1") == {"org-1": 7}
    assert await stand.ledger.unit_states("b-1", "org-1") == {
        "told": [
            RecordedOutcome("delivered", notification_id="n-0"),
            RecordedOutcome("dead", "rejected", "noc", "n-1"),
            RecordedOutcome("suppressed", "expired", notification_id="n-2"),
            *(RecordedOutcome("waiting", notification_id=f"n-{number}") for number in (3, 4)),
        ],
        "nobody": [RecordedOutcome("suppressed")],
        "dead": [RecordedOutcome("dead", "rejected")],
        "suppressed": [RecordedOutcome("suppressed", "expired")],
        "in hand": [RecordedOutcome("waiting")],
    }


async def test_a_batch_is_one_organizations_whoever_else_uses_its_id(stand: Stand) -> None:
    for organization, size in (("org-1", 2), ("org-2", 3), ("batch", 1)):
        await stand.ledger.register("b-1", size, Key(organization, "unit", f"wu-{size}"))
        await stand.ledger.register("b-10", 9, Key(organization, "unit", "wu"))
    assert await stand.ledger.batches("b-1") == {"batch": 1, "org-1": 2, "org-2": 3}
    assert await stand.ledger.batches("b-1", "org-2") == {"org-2": 3}
    assert await stand.ledger.batches("b-1", "org-9") == {}
    for organization, size in (("org-1", 2), ("org-2", 3)):
        outcomes = {f"wu-{size}": [RecordedOutcome("waiting")]}
        assert await stand.ledger.unit_states("b-1", organization) == outcomes


async def test_what_was_announced_and_not_seen_is_counted(stand: Stand) -> None:
    assert await stand.ledger.unseen("b-1", "org-1") == 0
    for number in (1, 2, 2):
        await stand.ledger.register("b-1", 7, Key("org-1", "unit", f"wu-{number}"))
    assert await stand.ledger.unseen("b-1", "org-1") == 5
    assert await stand.ledger.unseen("b-1", "org-2") == 0


async def test_a_unit_that_was_cut_is_what_became_of_it_and_of_its_slices(stand: Stand) -> None:
    unit = Key("org-1", "unit", "wu-1@f")
    slices = {name: Key("org-1", "unit", f"wu-1@f/{name}") for name in ("told", "dead", "expired", "in-hand", "waits")}
    await stand.ledger.register("b-1", 1, unit)
    for number in range(2):
        assert await stand.ledger.finish(await stand.mine(notification(number)), DELIVERED)
    assert await stand.ledger.finish(await stand.mine(slices["told"]), TerminalState("done", "", ["n-1", "n-9"]))
    assert await stand.ledger.finish(await stand.mine(slices["dead"]), DEAD)
    assert await stand.ledger.finish(await stand.mine(slices["expired"]), TerminalState("suppressed", "expired"))
    await stand.mine(slices["in-hand"])
    assert await stand.ledger.finish(await stand.mine(unit), TerminalState("done", "", ["n-0"], list(slices)))
    assert await stand.ledger.unit_states("b-1", "org-1") == {
        "wu-1@f": [
            RecordedOutcome("delivered", notification_id="n-0"),
            RecordedOutcome("delivered", notification_id="n-1"),
            RecordedOutcome("waiting", notification_id="n-9"),
            RecordedOutcome("dead", "rejected"),
            RecordedOutcome("suppressed", "expired"),
            RecordedOutcome("waiting"),
            RecordedOutcome("waiting"),
        ]
    }


# --- on Redis alone ---------------------------------------------------------------------------------------


@pytest.fixture
async def redis(redis_server: str) -> AsyncIterator[Redis]:
    redis = Redis(url=redis_server)
    await redis.connect()
    yield redis
    await redis.close()


def unsteered(redis: Redis) -> RedisLedger:
    return RedisLedger(redis=redis, prefix="ns", **TIMES)


async def test_scripts_that_the_server_forgot_are_told_again(redis: Redis) -> None:
    ledger = unsteered(redis)
    for number in range(3):
        await redis.execute("SCRIPT", "FLUSH")
        claims = (ledger.claim(notification(place), f"t-{number}", 1, replays=0) for place in range(10))
        for reply in await asyncio.gather(*claims):
            assert isinstance(reply, Busy if number else Claimed)


async def test_what_an_earlier_version_enrolled_is_counted_until_it_has_ended(redis: Redis) -> None:
    ledger = unsteered(redis)
    old = ("size", 4, "{org-1}:unit:a", "", "{org-1}:unit:b", "", "{org-2}:unit:c", "")
    await redis.execute("HSET", "ns:1:{batch:b-1}:units", *old)
    await ledger.register("b-1", 3, Key("org-1", "unit", "b"))
    await ledger.register("b-1", 3, Key("org-1", "unit", "d"))
    assert await ledger.batches("b-1") == {"org-1": 3, "org-2": 4}
    assert sorted(await ledger.unit_states("b-1", "org-1")) == [*"abd"]
    assert sorted(await ledger.unit_states("b-1", "org-2")) == ["c"]


async def test_how_it_came_about_is_forgotten_before_what_came_about(redis: Redis) -> None:
    ledger = unsteered(redis)
    for attempt in (1, 2):
        assert isinstance(await ledger.admit(replace(ask(1, f"t-{attempt}"), attempt=attempt)), Claimed)
        claim = Claim(notification(1), f"t-{attempt}", attempt)
        written = ledger.finish(claim, DEAD, report("failed")) if attempt == 2 else None
        assert await (written or ledger.release(claim, 2, report=report("failed")))
    key = "ns:1:{org-1}:notification:n-1"
    assert await redis.execute("LLEN", f"{key}:story") == 2
    left = [await redis.execute("PTTL", it) / 1000 for it in (key, f"{key}:story")]
    assert left == [pytest.approx(WEEK, rel=0.01), pytest.approx(2 * DAY, rel=0.01)]


async def test_every_key_ends_some_day(redis: Redis) -> None:
    ledger = unsteered(redis)
    for number in (1, 2):
        await ledger.admit(ask(number, "t", SLOW))
    assert await ledger.finish(Claim(notification(1), "t", 1), DEAD, report("gone"))
    await ledger.note(notification(3), DEAD)
    await ledger.register("b-1", 1, UNIT)
    keys = await redis.execute("KEYS", "*")
    assert len(keys) == 8  # and the story of the one that waits
    for key in keys:
        assert 0 < await redis.execute("PTTL", key) <= WEEK * 1000


async def test_a_full_redis_still_takes_outcomes_and_no_new_claims(redis: Redis) -> None:
    ledger = unsteered(redis)
    asks = [ask(it, "t", SLOW) for it in range(3)]
    reply = await ledger.admit(asks[0])
    assert isinstance(reply, Claimed)
    await redis.execute("CONFIG", "SET", "maxmemory", "1")
    try:
        for refused in (ledger.claim(UNIT, "t-2", 1, replays=0), ledger.admit(asks[1])):
            with pytest.raises(Unready, match="OutOfMemoryError"):
                await refused
        assert await ledger.renew(reply.claim)
        assert await ledger.finish(reply.claim, DEAD, report("gone"))
        await ledger.note(notification(2), DEAD)
    finally:
        await redis.execute("CONFIG", "SET", "maxmemory", "0")
    assert await ledger.admit(asks[0]) == Settled("dead")
    assert await ledger.admit(asks[1]) == OFF
    assert await ledger.admit(asks[2]) == Settled("dead")


async def test_a_full_redis_still_tells_what_has_ended_is_stale_or_is_held_elsewhere(redis: Redis) -> None:
    ledger = unsteered(redis)
    ended, stale, held = (notification(it) for it in range(3))
    await ledger.note(ended, DEAD)
    claimed = await ledger.claim(stale, "t", 1, replays=0)
    assert isinstance(claimed, Claimed)
    assert await ledger.release(claimed.claim, 2)
    assert isinstance(await ledger.claim(held, "t", 1, replays=0), Claimed)
    await redis.execute("CONFIG", "SET", "maxmemory", "1")
    try:
        for _ in range(2):
            assert await ledger.claim(ended, "t-2", 1, replays=0) == Settled("dead")
            assert await ledger.claim(stale, "t-2", 1, replays=0) == Stale()
            assert isinstance(await ledger.claim(held, "t-2", 1, replays=0), Busy)
        await ledger.note_deferral(held, '{"step":"send"}', delay=1.0)
        with pytest.raises(Unready, match="OutOfMemoryError"):
            await ledger.claim(stale, "t-2", 2, replays=0)
    finally:
        await redis.execute("CONFIG", "SET", "maxmemory", "0")
    assert isinstance(await ledger.claim(stale, "t-2", 2, replays=0), Claimed)


WITHHELD_NOC = TerminalState("suppressed", words("destination_disabled", "noc"))


async def test_what_was_withheld_opens_for_one_replay_and_what_nobody_wanted_for_none(stand: Stand) -> None:
    await stand.ledger.keep_withheld(notification(1), "noc", b"{}")
    await stand.ledger.note(notification(1), WITHHELD_NOC)
    await stand.ledger.note(notification(2), TerminalState("suppressed", words("unsubscribed", "noc")))
    assert await stand.admit(1) == Settled("suppressed")
    reply = await stand.admit(1, replays=1)
    assert isinstance(reply, Claimed)
    await stand.ledger.finish(reply.claim, DELIVERED)
    assert await stand.admit(1, replays=1) == Settled("delivered")
    assert await stand.admit(2, replays=1) == Settled("suppressed")
