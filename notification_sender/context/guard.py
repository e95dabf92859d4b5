"""What keeps one API from being run over: how many calls it has at once, and when it is left alone."""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

import structlog

from notification_sender.context.gate import Gate
from notification_sender.model.errors import ContextUnavailable, Outage, Unready
from notification_sender.policy.breaker import Breaker
from notification_sender.policy.concurrency import Window
from notification_sender.policy.retry_budget import RetryBudget
from notification_sender.ports import Clock, Dice, Fleet, News, Share

TOPIC = "apis"
"""Of the news that an API is out, or well again."""

_log = structlog.get_logger()


class Health(Enum):
    """What the end of a call says of the API."""

    WELL = "well"
    FAILED = "failed"
    OVERLOADED = "overloaded"
    """It failed because it had too much to do, as far as one can tell."""
    UNKNOWN = "unknown"
    """The call was not finished, for reasons of ours."""


@dataclass(slots=True)
class Visit:
    """One call while it is under way. Whoever makes it says how it went; ``wish``: it asks us to stay away, s."""

    begun: float
    probe: bool
    health: Health = Health.UNKNOWN
    wish: float | None = None


class Guard:
    """One for each API, shared by all who call it.

    ``budget``: calls of the whole fleet at once, None for no other bound than its own window. ``timeout`` s is waited
    for a slot, and as long may the call take that tries it again.
    """

    def __init__(
        self,
        *,
        api: str,
        fleet: Fleet,
        news: News,
        clock: Clock,
        timeout: float,
        budget: int | None = None,
        dice: Dice = random.random,
    ) -> None:
        self.api = api
        self.retries = RetryBudget()
        self.changes: list[Callable[[], None]] = []
        """Called when it may have gone out, or come back."""
        self._fleet = fleet
        self._news = news
        self._clock = clock
        self._timeout = timeout
        self._budget = budget
        self._dice = dice
        self._breaker = Breaker()
        self._window = Window()
        self._gate = Gate(self._limit)
        self._held = 0
        self._asked = self._until = -math.inf
        self._probing = False
        self._told = "well"

    @property
    def out(self) -> bool:
        return self._breaker.state(self._clock.monotonic()) != "closed"

    @property
    def probe_in(self) -> float:
        """Seconds until somebody may try it again."""
        return self._breaker.left(self._clock.monotonic())

    @asynccontextmanager
    async def visit(self) -> AsyncIterator[Visit]:
        """A call, once there is room for it.

        Raises:
            Outage: it is out, and is not called.
            ContextUnavailable: there was no room in time.

        """
        if await self._admits_at_once():
            await self._turn()
            async with self._visited(probe=False) as visit:
                yield visit
            return
        try:
            await self._probe_turn()
            async with self._visited(probe=True) as visit:
                yield visit
        finally:
            await self._end_probe()

    def heard(self, state: str, seconds: float) -> None:
        """Somebody of the fleet found out that it is ``out``, for so long, or ``well``."""
        if state == "out":
            self._breaker.hold(seconds, now=self._clock.monotonic())
            self._gate.turn_away(Outage(self.api, self.probe_in))
        else:
            self._breaker.close()
        if self._told != state:
            self._told = state
            _log.warning(f"api.{state}", api=self.api, seconds=round(seconds, 1))
        for tell in self.changes:
            tell()

    def share(self) -> Share | None:
        """What to announce; until the answer is there nothing more is begun than is under way now."""
        if self._budget is None:
            return None
        inside, held = self._gate.inside, self._allotted()
        self._asked, self._held = self._clock.monotonic(), min(held, inside)
        return Share(self._budget, inside, held, inside + self._gate.waiting)

    def allow(self, held: int, seconds: float) -> None:
        """So many calls at once, by the fleet's leave, for so long after it was asked."""
        self._held, self._until = held, self._asked + seconds
        self._gate.release()

    def summary(self) -> dict[str, Any]:
        """For people."""
        return {
            "state": "out" if self.out else "well",
            "probe_in": round(self.probe_in, 1),
            "limit": self._limit(),
            "in_flight": self._gate.inside,
            "waiting": self._gate.waiting,
        }

    def _limit(self) -> int:
        return self._window.limit if self._budget is None else min(self._window.limit, self._allotted())

    def _allotted(self) -> int:
        """Nothing once it has run out, however that came about: others may have it by now."""
        return self._held if self._clock.monotonic() < self._until else 0

    async def _admits_at_once(self) -> bool:
        """Whether it is in; False: it is out, and this call is the fleet's probe."""
        state = self._breaker.state(self._clock.monotonic())
        if state == "closed":
            return True
        if state == "due" and not self._probing and await self._chosen():
            return False
        raise Outage(self.api, self.probe_in)

    async def _turn(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._gate.enter()
        except TimeoutError:
            raise ContextUnavailable(f"{self.api}: no slot in {self._timeout:g} s") from None

    async def _probe_turn(self) -> None:
        """Whatever is still under way of before, but never beyond what the fleet allows."""
        if self._budget is None or self._gate.inside < self._allotted():
            self._gate.push_in()
        else:
            await self._turn()

    async def _chosen(self) -> bool:
        self._probing = True
        try:
            self._probing = await self._fleet.probe(self.api, self._timeout)
        except Unready:
            pass  # nobody to ask: one probe of each process
        except BaseException:
            self._probing = False
            raise
        return self._probing

    async def _end_probe(self) -> None:
        self._probing = False
        try:
            await self._fleet.probed(self.api)
        except Unready:
            return  # its time ends by itself

    @asynccontextmanager
    async def _visited(self, *, probe: bool) -> AsyncIterator[Visit]:
        visit = Visit(self._clock.monotonic(), probe)
        try:
            yield visit
        finally:
            self._gate.leave()
            if visit.health is not Health.UNKNOWN:
                await self._judge(visit)

    async def _judge(self, visit: Visit) -> None:
        now, well = self._clock.monotonic(), visit.health is Health.WELL
        if well:
            self._window.bore(self._gate.inside + 1)
        if visit.health is Health.OVERLOADED:
            self._window.overloaded(begun=visit.begun, now=now)
        seconds = self._opened(visit, well=well, now=now)
        if seconds is not None:
            await self._tell("out", seconds)
        elif visit.probe and well:
            await self._tell("well", 0.0)

    def _opened(self, visit: Visit, *, well: bool, now: float) -> float | None:
        """For how many seconds it is left alone from now on, if it is."""
        if visit.wish is not None:
            self._breaker.hold(visit.wish, now=now)
            return self.probe_in
        if visit.probe:
            return None if well else self._breaker.pause(now=now, dice=self._dice())
        return self._breaker.ended(well=well, now=now, dice=self._dice())

    async def _tell(self, state: str, seconds: float) -> None:
        self.heard(state, seconds)
        await self._news.tell(TOPIC, f"{self.api} {state} {seconds:.3f}")
