"""Pub/sub within one process: the embedded default."""

from collections import defaultdict
from collections.abc import Callable


class MemoryPubSub:
    """Listeners are called at once."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Callable[[str], None]]] = defaultdict(list)

    async def start(self) -> None:
        """Nothing to do: there is no connection."""

    async def stop(self) -> None:
        """Nothing to do."""

    async def publish(self, topic: str, text: str) -> None:
        self.publish_now(topic, text)

    def subscribe(self, topic: str, listener: Callable[[str], None]) -> None:
        self._listeners[topic].append(listener)

    def publish_now(self, topic: str, text: str) -> None:
        """As ``publish``, for callers that are not coroutines."""
        for listener in self._listeners[topic]:
            listener(text)
