"""The stores of the simulation: plain Python, or the scripts on a Redis inside this process. Both live in its time."""

from typing import TYPE_CHECKING, Any

from notification_sender.adapters.redis.ledger import RedisLedger
from notification_sender.ports.ledger import Key
from tests.oracles.ledger import MemoryLedger

if TYPE_CHECKING:
    from tests.simulation.world import World

TIMES: dict[str, Any] = {
    "lease": 30.0,
    "ledger_ttl": 604_800.0,
    "story_ttl": 172_800.0,
    "horizon": 60.0,
    "disable_after": 200.0,
}
KINDS = {"unit", "notification"}


class Plain(MemoryLedger):
    """Takes each step at once."""

    waits = False

    def __init__(self, world: "World") -> None:
        super().__init__(clock=world, **TIMES)

    async def states(self) -> dict[Key, str]:
        return {key: record.state for key, record in self.records.items()}


class Scripted(RedisLedger):
    """Is asked over a connection, as embedded."""

    waits = True

    def __init__(self, world: "World") -> None:
        # Here, because a simulation that is not part of the tests can do without.
        from notification_sender.adapters.memory.redis import EmbeddedRedis  # noqa: PLC0415
        from tests.steered import Steered  # noqa: PLC0415

        self.redis = EmbeddedRedis()
        super().__init__(redis=Steered(self.redis, world), prefix="ns", **TIMES)  # type: ignore[arg-type]

    async def states(self) -> dict[Key, str]:
        found: dict[Key, str] = {}
        for key in await self.redis.execute("KEYS", "ns:1:{o*"):
            organization, kind, name = key.decode().removeprefix("ns:1:{").replace("}", "").split(":", 2)
            if kind in KINDS and not name.endswith(":story"):
                found[Key(organization, kind, name)] = (await self.redis.execute("HGET", key, "state")).decode()
        await self.redis.close()
        return found
