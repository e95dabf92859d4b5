"""The time of a unit that gathers belongs to the source it waits for, and to no other."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import pytest

from notification_sender.context.gather import Gatherer
from notification_sender.context.recipe import Recipe
from notification_sender.model.outcome import Delivered, Receipt
from notification_sender.model.unit import WorkUnit
from notification_sender.ports.broker import Envelope, Lane, MessageState
from notification_sender.telemetry.attempt_record import AttemptFacts
from notification_sender.telemetry.metrics import Metrics
from notification_sender.telemetry.outcomes import OutcomeReporter
from notification_sender.telemetry.steps import RENDER, SlotSteps, StepClock
from tests.context.fakes import CountingSharedCache, LoopClock, cache_of, run_timeless

UNIT = WorkUnit.model_validate({"work_unit_id": "wu", "organization_id": "acme"})


def sources(**seconds: Callable[[], float]) -> Recipe:
    """Sources that need nothing of each other, the subject first."""
    recipe = Recipe("trial", subject=lambda _: next(iter(seconds)))
    for name, takes in seconds.items():
        recipe.fetched(ttl="0.001s", name=name)(source(takes))
    return recipe


def source(takes: Callable[[], float]) -> Callable[[], Coroutine[Any, Any, str]]:
    async def fetch() -> str:
        await asyncio.sleep(takes())
        return "fact"

    fetch.__name__ = f"fetch_{id(takes)}"
    return fetch


def in_hand(clock: LoopClock, slots: StepClock) -> SlotSteps:
    envelope = Envelope(Lane.UNITS, b"", "token", MessageState(clock.now()), 0.0, None)
    steps = slots.take(envelope, clock.monotonic())
    steps.enter(RENDER)
    return steps


def gatherer(recipe: Recipe, clock: LoopClock) -> Gatherer:
    cache = cache_of(clock, CountingSharedCache(clock), deadline=60.0)
    return Gatherer(recipe=recipe, resources={}, cache=cache, timeout=60.0)


def test_the_time_of_parallel_sources_belongs_to_the_first_that_is_awaited() -> None:
    takes: dict[str, float] = {}

    async def gather() -> None:
        clock = LoopClock()
        steps = in_hand(clock, StepClock(clock))
        recipe = sources(**{name: partial(takes.__getitem__, name) for name in "abc"})
        first, second, third = (it.name for it in recipe.plan(recipe.sources))
        takes.update({first: 1.0, second: 0.5, third: 3.0})
        await gatherer(recipe, clock).gather(UNIT)
        assert steps.step == RENDER
        waits = {step: pytest.approx(seconds) for step, seconds in steps.elapsed().items() if seconds}
        assert waits == {f"context.{first}": 1.0, f"context.{third}": 2.0}

    run_timeless(gather())


def test_five_seconds_more_on_one_call_in_a_hundred_are_in_the_histogram_of_that_step_alone() -> None:
    calls = iter(range(1000))
    metrics = Metrics()

    async def gather() -> None:
        clock = LoopClock()
        slots, reporter = StepClock(clock), OutcomeReporter(metrics, clock=clock)
        recipe = sources(incident=lambda: 0.02, assets=lambda: 0.05 + 5.0 * (next(calls) % 100 == 0))
        gathering = gatherer(recipe, clock)
        for _ in range(1000):
            seen, steps = clock.now(), in_hand(clock, slots)
            await gathering.gather(UNIT)
            reporter.report("notification", Delivered(Receipt("200")), AttemptFacts(), subject="n", first_seen=seen)
            slots.give(steps)

    run_timeless(gather())
    assert longer_than("1.0", metrics) == {"context.assets": 10, "end_to_end": 10}
    assert longer_than("5.0", metrics) == {"context.assets": 10, "end_to_end": 10}


def longer_than(bound: str, metrics: Metrics) -> Mapping[str, int]:
    """How many took longer, by step."""
    numbers = {}
    for stage in ("context.incident", "context.assets", "render", "end_to_end"):
        whole, within = (
            metrics.registry.get_sample_value("notification_sender_stage_seconds_bucket", {"stage": stage, "le": le})
            for le in ("+Inf", bound)
        )
        numbers[stage] = int((whole or 0) - (within or 0))
    return {stage: number for stage, number in numbers.items() if number}
