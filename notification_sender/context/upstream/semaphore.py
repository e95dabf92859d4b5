"""So many at once, in the order in which they came."""

import asyncio
from collections import deque
from collections.abc import Callable


class Gate:
    """``limit`` may change at any time: tell by ``release`` when it has grown."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.inside = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def enter(self) -> None:
        """Return when there is room. Whoever has entered leaves."""
        if not self._waiting and self.inside < self._limit():
            self.inside += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()  # it was our turn in the moment in which we went away
            raise

    def push_in(self) -> None:
        """Enter whatever the limit says."""
        self.inside += 1

    def leave(self) -> None:
        self.inside -= 1
        self.release()

    def release(self) -> None:
        """Let in who waits, as far as there is room."""
        while self._waiting and self.inside < self._limit():
            turn = self._waiting.popleft()
            if not turn.done():
                self.inside += 1
                turn.set_result(None)

    def turn_away(self, error: Exception) -> None:
        """Whoever waits has come for nothing."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(error)
