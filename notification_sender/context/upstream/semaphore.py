"""A semaphore whose limit may change, first come, first served."""

import asyncio
from collections import deque
from collections.abc import Callable


class ResizableSemaphore:
    """``limit`` may change at any time: call ``release`` when it has grown."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.inside = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def enter(self) -> None:
        """Return when there is room. The caller leaves later."""
        if not self._waiting and self.inside < self._limit():
            self.inside += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()  # the turn came in the moment of the cancellation
            raise

    def enter_over_limit(self) -> None:
        """Enter whatever the limit says."""
        self.inside += 1

    def leave(self) -> None:
        self.inside -= 1
        self.release()

    def release(self) -> None:
        """Let waiting callers in, as far as there is room."""
        while self._waiting and self.inside < self._limit():
            turn = self._waiting.popleft()
            if not turn.done():
                self.inside += 1
                turn.set_result(None)

    def fail_waiters(self, error: Exception) -> None:
        """Raise ``error`` in all waiting callers."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(error)
