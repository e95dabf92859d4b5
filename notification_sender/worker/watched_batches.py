"""Announced batches, of which some work units never came: a publisher failed half-way, or messages were lost."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress

from notification_sender.model.errors import Unready
from notification_sender.policy.audit import RecordedOutcome
from notification_sender.ports.clock import Clock
from notification_sender.ports.ledger import BatchTracker, Key

CHECK_SECONDS = 60.0
"""Time between two checks of the batches that this process has seen."""

QUIET_SECONDS = 600.0
"""A batch is incomplete when no unit of it came for so long: a publisher takes less between two."""

FORGET_SECONDS = 3600.0
"""Then nobody waits for the rest of a batch any more: ``audit`` still names it."""

MOST = 1000
"""Batches that are watched at once, the latest."""


class WatchedBatches:
    """A batch tracker that counts what is missing. ``missing``: work units of all batches that are incomplete."""

    def __init__(self, tracker: BatchTracker, clock: Clock) -> None:
        self._tracker = tracker
        self._clock = clock
        self._last: OrderedDict[tuple[str, str], float] = OrderedDict()
        """When the last unit of a batch came, by batch and organization; the longest ago first."""
        self.missing = 0

    async def register(self, batch_id: str, size: int, key: Key) -> None:
        await self._tracker.register(batch_id, size, key)
        batch = (batch_id, key.organization_id)
        self._last[batch] = self._clock.monotonic()
        self._last.move_to_end(batch)
        if len(self._last) > MOST:
            self._last.popitem(last=False)

    async def batches(self, batch_id: str, organization_id: str | None = None) -> Mapping[str, int]:
        return await self._tracker.batches(batch_id, organization_id)

    async def unit_states(self, batch_id: str, organization_id: str) -> Mapping[str, Sequence[RecordedOutcome]]:
        return await self._tracker.unit_states(batch_id, organization_id)

    async def unseen(self, batch_id: str, organization_id: str) -> int:
        return await self._tracker.unseen(batch_id, organization_id)

    async def watch(self) -> None:
        """Check until cancelled."""
        while True:
            await self._clock.sleep(CHECK_SECONDS)
            with suppress(Unready):
                await self.check()

    async def check(self) -> None:
        """Ask for each batch that is quiet how many units never came. A complete one is forgotten.

        Raises:
            Unready: Redis cannot be reached.
        """
        missing, now = 0, self._clock.monotonic()
        for batch, last in list(self._last.items()):
            if now - last < QUIET_SECONDS:
                continue
            unseen = await self._tracker.unseen(*batch)
            if (not unseen or now - last >= FORGET_SECONDS) and self._last.get(batch) == last:
                del self._last[batch]
            else:
                missing += unseen
        self.missing = missing
