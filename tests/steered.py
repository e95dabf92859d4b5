"""Redis on a clock that jumps: the scripts as they are, but for where they read the time."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from notification_sender.adapters.redis.client import Store
from notification_sender.adapters.redis.scripts import Script
from tests.virtual import VirtualClock

T = TypeVar("T")
SERVER_TIME = "redis.call('TIME')"
GIVEN_TIME = "{table.remove(ARGV, #ARGV - 1), table.remove(ARGV)}"


class Steered:
    """A store whose scripts live in the time of ``clock``. Keys still expire in the server's own."""

    def __init__(self, store: Store, clock: VirtualClock) -> None:
        self._store = store
        self._clock = clock

    async def execute(self, *command: Any) -> Any:
        return await self._store.execute(*command)

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        now = divmod(round(self._clock.now() * 1_000_000), 1_000_000)
        return await self._store.run(_steered(script), keys, (*arguments, *now))


class Overheard:
    """A store that writes down what its scripts say on ``channel``."""

    def __init__(self, store: Store, channel: str) -> None:
        self._store = store
        self._channel = channel

    async def execute(self, *command: Any) -> Any:
        return await self._store.execute(*command)

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        return await self._store.run(Script.of(script.source.replace("'PUBLISH'", "'RPUSH'")), keys, arguments)

    async def said(self) -> list[str]:
        return [text.decode() for text in await self.execute("LRANGE", self._channel, 0, -1)]


@cache
def _steered(script: Script) -> Script:
    assert script.source.count(SERVER_TIME) <= 1
    return Script.of(script.source.replace(SERVER_TIME, GIVEN_TIME))


@dataclass
class Bench:
    """One store and one loop for all histories of a state machine, whose steps are not coroutines."""

    store: Store
    runner: asyncio.Runner
    histories: int
    _numbers: Iterator[int] = field(default_factory=count)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def prefix(self) -> str:
        """Keys of one history alone."""
        return f"t{next(self._numbers)}"

    def play(self, machine: Callable[["Bench"], RuleBasedStateMachine]) -> None:
        """Many histories of 50 steps; where one fails, the shortest that does is looked for, which takes minutes."""
        rules = settings(
            max_examples=self.histories,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
        run_state_machine_as_test(lambda: machine(self), settings=rules)
