"""Redis on a clock that jumps: the scripts as they are, but for where they read the time."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from virtual import VirtualClock

from notification_sender.adapters.redis import Store
from notification_sender.adapters.scripts import Script

SERVER_TIME = "redis.call('TIME')"
GIVEN_TIME = "{ARGV[#ARGV - 1], ARGV[#ARGV]}"


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


@cache
def _steered(script: Script) -> Script:
    assert script.source.count(SERVER_TIME) <= 1
    return Script.of(script.source.replace(SERVER_TIME, GIVEN_TIME))
