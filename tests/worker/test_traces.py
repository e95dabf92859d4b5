"""One trace, from the publisher to the answer of the recipient, whichever workers take part."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from notification_sender.model.cause import Cause
from notification_sender.model.errors import ContextUnavailable, SendFailed, Sent
from notification_sender.model.trace import TraceContext, parse_traceparent
from notification_sender.ports.broker import Lane
from notification_sender.ports.spans import Span
from notification_sender.telemetry.traces import Traces
from notification_sender.worker.worker import Worker
from tests.virtual import VirtualClock
from tests.worker.conftest import WorkerHarness

PUBLISHED = TraceContext("ab" * 16, "cd" * 8)
REFUSED = SendFailed("503 from hooks.example", sent=Sent.ANSWERED, status=503)


class KeptSpans:
    """Keeps all spans."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def is_sampled(self, _trace_id: str, parent: TraceContext | None, _name: str) -> bool:
        return parent is None or parent.sampled

    def export(self, span: Span) -> None:
        self.spans.append(span)

    async def close(self) -> None:
        """Nothing is left."""


class TracedHarness(WorkerHarness):
    """Each worker has traces of its own, as each process has."""

    def __init__(self, clock: VirtualClock, **pace: Any) -> None:
        self.kept: list[KeptSpans] = []
        super().__init__(clock, **pace)

    def another(self, **pace: Any) -> Worker:
        kept = KeptSpans()
        self.kept.append(kept)
        self.traces = Traces(kept, clock=self.clock, queues={lane: lane.value for lane in Lane})
        return super().another(**pace)

    async def replace(self) -> None:
        """Another worker goes on."""
        await self.worker.close(0.0)
        self.worker = self.another()
        await self.worker.start()

    def named(self, name: str) -> list[Span]:
        return [span for kept in self.kept for span in kept.spans if span.name == name]


@pytest.fixture
async def traced() -> AsyncIterator[TracedHarness]:
    harness = TracedHarness(VirtualClock())
    await harness.worker.start()
    yield harness
    await harness.worker.close(0.0)
    await harness.broker.close()


def traceparent(context: TraceContext) -> dict[str, Any]:
    return {"traceparent": context.traceparent}


async def test_attempts_of_two_workers_are_in_the_trace_of_the_publisher_each_linked_to_the_one_before(
    traced: TracedHarness,
) -> None:
    traced.channel.ends.append(REFUSED)
    await traced.publish(headers=traceparent(PUBLISHED))
    await traced.clock.until(lambda: len(traced.channel.sends) == 1 and not traced.worker.lanes.unsettled)
    await traced.replace()
    await traced.clock.until(traced.idle)
    [unit], [created], (first, second) = (
        traced.named(name) for name in ("process units", "create notification", "attempt webhook")
    )
    assert (unit.parent, created.parent) == (PUBLISHED, unit.context)
    assert first.parent == created.context
    assert second.parent is not None
    assert second.parent.span_id == created.context.span_id
    assert [it.span_id for it in second.links] == [first.context.span_id]
    assert not first.links
    assert [it.parent for it in traced.named("send webhook")] == [first.context, second.context]
    assert {it.context.trace_id for kept in traced.kept for it in kept.spans} == {PUBLISHED.trace_id}
    assert [len(kept.spans) for kept in traced.kept] == [4, 2]
    assert (first.error, second.error) == ("503", "")
    assert second.attributes["notification_sender.step.retry_wait"] == pytest.approx(5.0, abs=1.0)


async def test_events_of_a_span_say_when_it_came_into_which_step(traced: TracedHarness) -> None:
    traced.channel.takes = lambda _: 2.0
    await traced.publish()
    await traced.clock.until(traced.idle)
    [unit], [attempt], [send] = (traced.named(name) for name in ("process units", "attempt webhook", "send webhook"))
    assert [name for name, _ in unit.events] == ["claim", "render"]
    assert [name for name, _ in attempt.events] == ["admit", "send.webhook", "admit", "send.webhook", "record"]
    assert send.end - send.start == pytest.approx(2.0)
    assert attempt.start <= send.start <= send.end <= attempt.end <= unit.end


async def test_a_unit_that_was_deferred_stays_in_its_trace(traced: TracedHarness) -> None:
    traced.composer.faults.append(ContextUnavailable("assets: 503", cause=Cause(api="assets")))
    await traced.publish()
    await traced.clock.until(traced.idle)
    first, second = traced.named("process units")
    assert first.parent is None
    assert (second.parent and second.parent.span_id) == first.context.span_id
    assert [it.span_id for it in second.links] == [first.context.span_id]


async def test_each_of_several_notifications_has_a_span_of_its_own(traced: TracedHarness) -> None:
    await traced.publish(destinations=3)
    await traced.clock.until(traced.idle)
    [unit], created, attempts = (
        traced.named(name) for name in ("process units", "create notification", "attempt webhook")
    )
    assert [it.parent for it in created] == [unit.context] * 3
    assert {it.parent for it in attempts} == {it.context for it in created}
    assert len({it.context for it in created}) == 3


async def test_a_trace_that_is_not_sampled_is_carried_on_and_exported_by_nobody(traced: TracedHarness) -> None:
    traced.channel.ends.append(REFUSED)
    await traced.publish(headers=traceparent(PUBLISHED._replace(sampled=False)))
    await traced.clock.until(lambda: len(traced.channel.sends) == 1 and not traced.worker.lanes.unsettled)
    [parked] = (message for *_, message in traced.broker._delayed)
    assert parked.headers["traceparent"].startswith(f"00-{PUBLISHED.trace_id}-")
    assert parked.headers["traceparent"].endswith("-00")
    assert not any(kept.spans for kept in traced.kept)


async def test_a_worker_without_traces_passes_on_the_trace_of_the_publisher(harness: WorkerHarness) -> None:
    harness.channel.ends.append(REFUSED)
    await harness.publish(headers=traceparent(PUBLISHED))
    await harness.clock.until(lambda: len(harness.channel.sends) == 1 and not harness.worker.lanes.unsettled)
    [parked] = (message for *_, message in harness.broker._delayed)
    assert parked.headers["traceparent"] == PUBLISHED.traceparent


async def test_a_message_older_than_a_day_begins_a_new_trace_that_links_to_the_old_one(traced: TracedHarness) -> None:
    long_ago = traced.clock.now() - 100_000.0
    await traced.publish(headers=traceparent(PUBLISHED) | {"x-first-seen": long_ago})
    await traced.clock.until(traced.idle)
    [unit] = traced.named("process units")
    assert unit.parent is None
    assert unit.context.trace_id != PUBLISHED.trace_id
    assert [(it.trace_id, it.span_id) for it in unit.links] == [(PUBLISHED.trace_id, PUBLISHED.span_id)]


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "",
        "00-" + "0" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "0" * 16 + "-01",
        "ff-" + "1" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "A" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "1" * 16 + "-01-more",
    ],
)
def test_an_invalid_traceparent_counts_as_none(value: object) -> None:
    assert parse_traceparent(value) is None


def test_a_traceparent_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    text = "7f-" + "1" * 32 + "-" + "2" * 16 + "-03-more"
    assert parse_traceparent(text, "3" * 16) == TraceContext("1" * 32, "2" * 16, previous="3" * 16)
