"""What destinations that are off were not sent, and what the ledger says of it. For operators: a count scans keys."""

from collections.abc import AsyncIterator, Sequence

from notification_sender.adapters.redis.client import Store
from notification_sender.adapters.redis.keys import PAGE, each, found, in_batches
from notification_sender.policy.audit import WITHHELD, words

SUPPRESSED = b"suppressed"


class RedisWithheld:
    """Reads the lists that ``keep_withheld.lua`` writes."""

    def __init__(self, *, redis: Store, prefix: str) -> None:
        self._redis = redis
        self._start = f"{prefix}:1:{{"

    async def messages(self, organization_id: str, destination_id: str) -> AsyncIterator[bytes]:
        """All that is kept now, the oldest first. The caller may remove each."""
        key = self._key(organization_id, destination_id)
        left = int(await self._redis.execute("LLEN", key))
        while left > 0:
            # Counted from the end: what is removed at the beginning moves nothing.
            begin = max(int(await self._redis.execute("LLEN", key)) - left, 0)
            page = await self._redis.execute("LRANGE", key, begin, begin + min(PAGE, left) - 1)
            if not page:
                return
            left -= len(page)
            for message in page:
                yield message

    async def remove(self, organization_id: str, destination_id: str, message: bytes) -> None:
        """Keep it no more."""
        await self._redis.execute("LREM", self._key(organization_id, destination_id), 1, message)

    async def state(self, organization_id: str, notification_id: str) -> str | None:
        """The state of a notification, ``withheld`` where it may still be sent; None: its record has expired."""
        key = f"{self._start}{organization_id}}}:notification:{notification_id}"
        state, text = await self._redis.execute("HMGET", key, "state", "text")
        if state == SUPPRESSED and (text or b"").startswith(WITHHELD.encode()):
            return "withheld"
        return state and str(state.decode())

    async def count(self, organization_id: str, destination_id: str) -> int:
        """Notifications that the ledger says were withheld, and are still."""
        number, withheld = 0, words(WITHHELD, destination_id).encode()

        async def add(keys: Sequence[str]) -> None:
            nonlocal number
            records = await each(self._redis, "HMGET", keys, "state", "text")
            number += sum(1 for state, text in records if (state, text) == (SUPPRESSED, withheld))

        await in_batches(found(self._redis, f"{self._start}{organization_id}}}:notification:*", "hash"), add)
        return number

    def _key(self, organization_id: str, destination_id: str) -> str:
        return f"{self._start}{organization_id}}}:withheld:{destination_id}"
