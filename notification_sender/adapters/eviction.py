"""What Redis does when it is full. Records that it forgets are deliveries that are made twice."""

import structlog
from redis.asyncio.connection import Connection
from redis.exceptions import ResponseError

from notification_sender.model.errors import ConfigurationFault

SAFE = frozenset({"noeviction", "volatile-ttl"})
"""One refuses writes, the other forgets first what ends first: the cache long before the ledger. Measured with 2,000
records and a cache that overflowed: both kept all of them, volatile-lru a half, allkeys-lru a twentieth."""

_log = structlog.get_logger()


class Eviction:
    """``accepted``: the policy that is put up with by name. ``strict``: any other unsafe one is refused at start."""

    def __init__(self, *, accepted: str | None, strict: bool) -> None:
        self._suffered = SAFE | {accepted}
        self._strict = strict

    async def inspect(self, connection: Connection, *, first: bool) -> None:
        """Look at the server behind a connection that is not used yet; ``first`` at start.

        Raises:
            ConfigurationFault: it may forget what was delivered.
        """
        policy = await _policy(connection)
        if policy is None:
            _log.warning("store.eviction_unknown", why="the user of NS_REDIS_URL may not ask for INFO memory")
        elif policy not in self._suffered:
            if first and self._strict:
                raise ConfigurationFault(_advice(policy))
            _log.warning("store.evicts", policy=policy, why=_advice(policy))


async def _policy(connection: Connection) -> str | None:
    # Not by CONFIG GET: hosted servers refuse that to everybody.
    await connection.send_command("INFO", "memory")
    try:
        said = await connection.read_response(disconnect_on_error=False)
    except ResponseError:
        return None
    _, found, rest = bytes(said).decode().partition("maxmemory_policy:")
    return rest.split()[0] if found else None


def _advice(policy: str) -> str:
    return (
        f"Redis evicts by {policy} when it is full: it would forget what was delivered, and that would be delivered "
        f"again. Set a policy that does not (redis-cli CONFIG SET maxmemory-policy noeviction, or volatile-ttl), or "
        f"accept it by its name (NS_ACCEPT_EVICTION={policy})"
    )
