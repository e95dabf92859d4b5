"""What keeps the promise, taken out piece by piece: each is to be missed by a test."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mutant:
    """``old``, which stands in ``file`` once, becomes ``new``; then one of ``tests`` fails, the quickest first."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def put_into(self, root: Path) -> str:
        """What the file was before.

        Raises:
            ValueError: the code has changed, and with it this mutant must.

        """
        whole = (root / self.file).read_text()
        if whole.count(self.old) != 1:
            raise ValueError(f"{self.name}: in {self.file} stands {whole.count(self.old)} times, not once:\n{self.old}")
        (root / self.file).write_text(whole.replace(self.old, self.new))
        return whole


LEDGER = "tests/contract/test_ledger.py"
BROKER = "tests/adapters/rabbitmq/test_broker.py"
HTTP = "tests/adapters/http/test_transport.py"
WEBHOOK = "tests/channels/test_webhook.py"
SIMULATION = (
    "tests/simulation/test_simulation.py::"
    "test_whatever_breaks_each_notification_ends_once_in_one_chain_of_attempts_within_its_limits"
)

MUTANTS = (
    Mutant(
        "the fence check, of whoever records",
        "lua/record.lua",
        "return record.token == token and record.fence == tonumber(fence)",
        "return true",
        (f"{LEDGER}::test_a_claim_that_ran_out_is_taken_over_and_its_holder_may_send_and_write_no_more",),
    ),
    Mutant(
        "the fence check, before the first byte",
        "notification_sender/admission.py",
        """\
            if not await self._ledger.begin(claim):
                raise ClaimLost
""",
        """\
            await self._ledger.begin(claim)
""",
        ("tests/worker/test_attempts.py",),
    ),
    Mutant(
        "the record of an acceptance",
        "notification_sender/worker/settle.py",
        """\
            case Delivered(receipt):
                await self._record_acceptance(work, receipt)
""",
        """\
            case Delivered():
                pass
""",
        ("tests/worker/test_worker.py",),
    ),
    Mutant(
        "the record before the ack",
        "notification_sender/worker/lanes.py",
        """\
            match await self._handlers[envelope.lane](envelope):
                case Settled():
                    await self._intake.ack(envelope)
                case AskAgain(delay, wait):
""",
        """\
            await self._intake.ack(envelope)
            match await self._handlers[envelope.lane](envelope):
                case AskAgain(delay, wait):
""",
        ("tests/worker/test_worker.py",),
    ),
    Mutant(
        "the parked copy before the record",
        "notification_sender/worker/settle.py",
        """\
        await self.hand_on(Parked(work.lane, body, delay, state, current().wait(wait_of(outcome))))
        claim = work.claim
        if claim is None:
            if entry:
                await self._ledger.note_deferral(work.key, entry, delay=delay)
            return
        # Only after the copy is parked: a ledger ahead of its message would drop the message as stale.
        released = self._ledger.release(
            claim, state.attempt, delay=delay, report=work.report, unit=work.unit_end, entry=entry
        )
        self._written(work, await released)
""",
        """\
        claim = work.claim
        if claim is not None:
            released = self._ledger.release(
                claim, state.attempt, delay=delay, report=work.report, unit=work.unit_end, entry=entry
            )
            self._written(work, await released)
        await self.hand_on(Parked(work.lane, body, delay, state, current().wait(wait_of(outcome))))
""",
        (SIMULATION,),
    ),
    Mutant(
        "the publisher confirm",
        "notification_sender/adapters/rabbitmq/publisher.py",
        "publisher_confirms=True, on_return_raises=True",
        "publisher_confirms=False",
        (f"{BROKER}::test_a_queue_that_is_missing_loses_nothing_and_is_made_again",),
    ),
    Mutant(
        "the stale-attempt check",
        "lua/record.lua",
        "  if later < 0 then return {'stale'} end\n",
        "",
        (f"{LEDGER}::test_the_copy_of_an_older_attempt_is_stale",),
    ),
    Mutant(
        "the address check, of the names",
        "notification_sender/adapters/http/egress.py",
        """\
            self._allow(answer["host"], port, tls=True, organization=organization)
""",
        """\
            pass
""",
        (f"{HTTP}::test_a_forbidden_address_is_never_dialled",),
    ),
    Mutant(
        "the address check, at connect",
        "notification_sender/adapters/http/egress.py",
        """\
            self._allow(str(address), int(port), tls=dial.tls, organization=dial.organization)
""",
        """\
            pass
""",
        (f"{HTTP}::test_a_forbidden_address_is_never_dialled",),
    ),
    Mutant(
        "redirects off",
        "notification_sender/adapters/http/transport.py",
        """\
        return self._answer_of_raw_head(exchange, route, dial, cause)
""",
        """\
        answer = self._answer_of_raw_head(exchange, route, dial, cause)
        for name, value in answer.headers:
            if name.lower() == b"location" and 300 <= answer.status < 400:
                return await self.exchange(method, value.decode(), headers, body, deadline=deadline, begin=begin)
        return answer
""",
        (f"{HTTP}::test_a_redirect_is_an_answer_and_never_followed",),
    ),
    Mutant(
        "the byte cap",
        "notification_sender/adapters/http/exchange.py",
        "while len(self.body) <= within:",
        "while True:",
        (f"{HTTP}::test_an_answer_without_end_is_an_error_or_as_far_as_it_came",),
    ),
    Mutant(
        "the jitter, of attempts",
        "notification_sender/policy/retry.py",
        "self.delays[attempt - 1] * (1 + JITTER * (2 * dice - 1))",
        "self.delays[attempt - 1]",
        ("tests/policy/test_retry.py::test_the_dice_spread_over_the_whole_range",),
    ),
    Mutant(
        "the jitter, of what waits for our own platform",
        "notification_sender/policy/retry.py",
        "return dice * cap",
        "return cap",
        ("tests/policy/test_retry.py::test_the_dice_spread_over_the_whole_range",),
    ),
    Mutant(
        "the single-flight lease",
        "lua/lookup.lua",
        "if left > 0 and left <= ARGV[2] * 1000 and held[1] ~= ARGV[1] then",
        "if false then",
        ("tests/contract/test_shared_cache.py::test_of_all_who_look_for_a_missing_fact_one_fetches_it",),
    ),
    Mutant(
        "the tenant check",
        "notification_sender/recipes/intel/records.py",
        """kept = [row for row in found if row.get("organization_id") in owners]""",
        "kept = found",
        ("tests/recipes/test_intel_trouble.py",),
    ),
    Mutant(
        "the tenant check, of calls made for several",
        "notification_sender/context/upstream/batching.py",
        "if _owner(record) in (organization_id, BadRecord)}",
        "}",
        ("tests/context/upstream/test_batching.py", "tests/recipes"),
    ),
    Mutant(
        "the reservation",
        "lua/admit.lua",
        """\
  slowest.booked = math.max(slowest.booked, slowest.now) + slowest.interval
  write(slowest)
  return wait(longest, slowest.name, slowest.now + longest)
""",
        """\
  return wait(longest, slowest.name)
""",
        (f"{LEDGER}::test_after_a_burst_each_waits_for_its_own_slot_and_asks_just_twice",),
    ),
    Mutant(
        "the pause, before any work",
        "notification_sender/worker/units.py",
        "if self._pauses.active and (paused := self._pauses.of_unit(unit.organization_id)):",
        "if False and (paused := self._pauses.of_unit(unit.organization_id)):",
        ("tests/worker/test_pauses.py::test_what_is_resumed_goes_on_at_its_next_look",),
    ),
    Mutant(
        "the pause, in the admission",
        "lua/admit.lua",
        "if paused > 0 then return wait(paused, PAUSED) end",
        "",
        ("tests/adapters/redis/test_pauses.py",),
    ),
    Mutant(
        "the filter, of waiting messages that are moved",
        "notification_sender/adapters/rabbitmq/waiting.py",
        "if waiting is not None and wanted(waiting):",
        "if waiting is not None:",
        ("tests/adapters/rabbitmq/test_waiting.py",),
    ),
    Mutant(
        "the watchdog",
        "notification_sender/adapters/rabbitmq/subscription.py",
        "return now - self._quiet_since >= quiet",
        "return False",
        (f"{BROKER}::test_a_consumer_that_the_broker_forgot_is_renewed",),
    ),
    Mutant(
        "the fleet's single probe, of an API",
        "notification_sender/fleet/circuit.py",
        """self._probing = await self._kind.fleet.try_acquire_probe(self._name, self._kind.probe_timeout)""",
        """self._probing = True""",
        ("tests/context/upstream/test_guard.py",),
    ),
    Mutant(
        "the fleet's single probe, of a recipient's host",
        "notification_sender/fleet/circuit.py",
        """self._probing = await self._kind.fleet.try_acquire_probe(self._name, self._kind.probe_timeout)""",
        """self._probing = True""",
        ("tests/channels/test_hosts.py",),
    ),
)
