"""The shelf in plain Python, on a clock that may jump: a store for tests."""

from collections.abc import Mapping, Sequence

from notification_sender.ports import Clock


class MemoryShelf:
    """It keeps nothing beyond this process."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._facts: dict[str, tuple[bytes, float]] = {}

    async def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """In the order of ``keys``; None for what is not there."""
        now = self._clock.now()
        found = (self._facts.get(key, (b"", now)) for key in keys)
        return [fact if ends > now else None for fact, ends in found]

    async def write(self, facts: Mapping[str, bytes], ttl: float) -> None:
        """``ttl`` in seconds."""
        ends = self._clock.now() + ttl
        self._facts.update((key, (fact, ends)) for key, fact in facts.items())
