"""News within one process, where there is no other."""

from collections import defaultdict
from collections.abc import Callable


class MemoryNews:
    """Heard at once."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Callable[[str], None]]] = defaultdict(list)

    async def start(self) -> None:
        """There is nothing to subscribe to."""

    async def stop(self) -> None:
        """There is nothing to end."""

    async def tell(self, topic: str, text: str) -> None:
        self.say(topic, text)

    def hear(self, topic: str, listener: Callable[[str], None]) -> None:
        self._listeners[topic].append(listener)

    def say(self, topic: str, text: str) -> None:
        """As ``tell``, for whoever cannot wait."""
        for listener in self._listeners[topic]:
            listener(text)
