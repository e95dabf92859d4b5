"""How the benchmark tells what a function call is for."""

import pytest

from bench.steps import BESIDE, CLAIM, OTHER, RENDER, by_step, place, step
from notification_sender.adapters.redis.ledger import RedisLedger
from notification_sender.telemetry.lag import LoopMonitor, lost_seconds

CLAIMED = place(RedisLedger.claim.__code__)
RENDERED = "notification_sender/render/__init__.py:1:Templates.render"


def test_a_function_of_a_room_has_the_step_of_the_room() -> None:
    assert (step(CLAIMED), step(RENDERED)) == (CLAIM, RENDER)
    assert step(place(LoopMonitor._measure.__code__)) == BESIDE


def test_a_function_that_several_steps_use_has_none() -> None:
    assert (step("<built-in method builtins.len>"), step(place(lost_seconds.__code__))) == (None, None)


def test_calls_without_a_step_count_for_their_callers_through_any_number_of_them() -> None:
    calls = {CLAIMED: 1.0, RENDERED: 2.0, "<len>": 6.0, "json/decoder.py:1:decode": 3.0, "<dict.get>": 4.0}
    called = {
        CLAIMED: {"json/decoder.py:1:decode": 1.0},
        RENDERED: {"json/decoder.py:1:decode": 2.0, "<dict.get>": 3.0},
        "json/decoder.py:1:decode": {"<len>": 6.0},
    }
    sums = by_step(calls, called)
    # The one call of ``dict.get`` that nobody made was the loop's.
    assert sums == pytest.approx({CLAIM: 1 + 1 + 2, RENDER: 2 + 2 + 3 + 4, OTHER: 1})


def test_functions_that_call_each_other_count_once() -> None:
    calls = {RENDERED: 1.0, "a": 2.0, "b": 1.0}
    called = {RENDERED: {"a": 1.0}, "a": {"b": 1.0}, "b": {"a": 1.0}}
    assert sum(by_step(calls, called).values()) == pytest.approx(4.0)
