"""How full Redis is, and what it evicts when it is full. An evicted delivery record causes a duplicate delivery."""

import asyncio
from collections.abc import Callable

import structlog
from redis.asyncio.connection import Connection
from redis.exceptions import ResponseError

from notification_sender.adapters.redis.client import Store
from notification_sender.model.errors import ConfigurationFault, Unready

SAFE_POLICIES = frozenset({"noeviction", "volatile-ttl"})
"""``noeviction`` refuses writes. ``volatile-ttl`` evicts the keys that expire first: the cache long before the ledger.
Measured with 2,000 records and a cache that overflowed: both kept every record, volatile-lru kept half of them and
allkeys-lru a twentieth."""

MEMORY_PERIOD = 30.0
"""Seconds between two readings. Redis keeps records for days, so its memory use changes slowly."""

_log = structlog.get_logger()


class Eviction:
    """``accepted``: an unsafe policy that the operator allows. ``strict``: refuse any other unsafe policy at start."""

    def __init__(self, *, accepted: str | None, strict: bool) -> None:
        self._allowed = SAFE_POLICIES | {accepted}
        self._strict = strict

    async def inspect(self, connection: Connection, *, first: bool) -> None:
        """Check the server's eviction policy before the connection is used. ``first``: at start.

        Raises:
            ConfigurationFault: the policy may evict delivery records.
        """
        policy = await _policy(connection)
        if policy is None:
            _log.warning("redis.eviction_unknown", why="the user of NS_REDIS_URL may not run INFO memory")
        elif policy not in self._allowed:
            if first and self._strict:
                raise ConfigurationFault(_advice(policy))
            _log.warning("redis.eviction_unsafe", policy=policy, why=_advice(policy))


async def _policy(connection: Connection) -> str | None:
    # INFO, not CONFIG GET: hosted servers refuse CONFIG GET to every user.
    await connection.send_command("INFO", "memory")
    try:
        info = await connection.read_response(disconnect_on_error=False)
    except ResponseError:
        return None
    _, found, rest = bytes(info).decode().partition("maxmemory_policy:")
    return rest.split()[0] if found else None


def _advice(policy: str) -> str:
    return (
        f"Redis evicts by {policy} when it is full: it would drop delivery records, and recipients would get "
        f"duplicates. Set a safe policy (redis-cli CONFIG SET maxmemory-policy noeviction, or volatile-ttl), or "
        f"allow this one (NS_ACCEPT_EVICTION={policy})"
    )


async def memory_use(store: Store) -> tuple[int, int, int] | None:
    """Read the bytes in use, the limit (0: no maxmemory) and how many keys were evicted. None: it does not say.

    Raises:
        Unready: Redis cannot be reached.

    """
    lines: dict[str, str] = {}
    try:
        for section in ("memory", "stats"):
            info = bytes(await store.execute("INFO", section)).decode(errors="replace")
            lines |= dict(line.split(":", 1) for line in info.split() if ":" in line)
        return int(lines["used_memory"]), int(lines.get("maxmemory", 0)), int(lines.get("evicted_keys", 0))
    except (RuntimeError, KeyError, ValueError):
        return None  # this user may not run INFO, or it is the embedded Redis


async def policy_in_use(store: Store) -> str | None:
    """Read the eviction policy. None: the server does not report it.

    Raises:
        Unready: Redis cannot be reached.

    """
    try:
        info = await store.execute("INFO", "memory")
    except RuntimeError:
        return None
    _, found, rest = bytes(info).decode(errors="replace").partition("maxmemory_policy:")
    return rest.split()[0] if found else None


async def watch_memory(store: Store, report: Callable[[int, int, int], None]) -> None:
    """Report the memory use every ``MEMORY_PERIOD``. While Redis cannot be reached the last report stands."""
    while True:
        try:
            use = await memory_use(store)
        except Unready:
            use = None
        if use is not None:
            report(*use)
        await asyncio.sleep(MEMORY_PERIOD)
