"""Which hosts of recipients are out, for the whole fleet: nothing is sent there but one notification, to find out."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import structlog

from notification_sender.model.errors import Gone, Rejected, SendFailed, Sent, SlowDown, Unready
from notification_sender.model.outcome import Receipt
from notification_sender.policy.breaker import HOST, Breaker
from notification_sender.policy.returns import Returns
from notification_sender.ports import Clock, Dice, Fleet, News

TOPIC = "hosts"
"""Of the news that a host is out, or well again."""

BETWEEN = 1.0
"""Seconds between two questions of a process whether it is its turn to try a host."""

STEP = 0.02
"""Seconds between two that come back to a host: what waited for it must not be what it dies of again."""

LONGEST = 600.0
"""Seconds that one waits at most before it looks again: a backlog that looks too often is work for nothing."""

SLOW = 1.0
"""Seconds. What takes longer and ends without an answer costs a slot for nothing: such a host is left alone soon."""

BEARABLE = 300.0
"""Seconds for which a host may do nothing but fail as long as it does so quickly: it costs little, and may only dislike
what it was sent. How often each is tried is the retry schedule's business until then."""

MOST = 2000
"""Hosts that are remembered, for something speaks against them: about 4 MB."""

LISTED = 20
"""Hosts that ``summary`` names."""

_log = structlog.get_logger()


@dataclass(slots=True)
class Visit:
    """One notification on its way to a host: ``away`` for so many seconds, or to be sent now."""

    host: str
    away: float = 0.0
    probe: bool = False
    """It is the one of the fleet that finds out."""
    well: bool | None = None
    """What it says of the host. None: nothing was sent, or it did not come to an end, for reasons of ours."""
    answered: bool = False
    """Where it is not well: it answered all the same, with an error."""
    begun: float = 0.0
    """Monotonic, s."""
    wish: float | None = None
    """Seconds for which the host asks us to stay away."""

    async def watch(self, send: Awaitable[Receipt]) -> Receipt:
        """``send``, and what its end says of the host."""
        try:
            receipt = await send
        except (Gone, Rejected):
            self.well = True
            raise
        except SendFailed as fault:
            # What was not even sent, for reasons of ours, says nothing of it.
            self.well = None if fault.sent is Sent.NOTHING and not fault.ill else not fault.ill
            self.answered = fault.sent is Sent.ANSWERED
            raise
        except SlowDown as fault:
            self.wish = fault.seconds if fault.of_all else None
            raise
        self.well = True
        return receipt


@dataclass(slots=True)
class _Host:
    """One that something speaks against."""

    breaker: Breaker = field(default_factory=lambda: Breaker(HOST))
    returns: Returns = field(default_factory=lambda: Returns(LONGEST))
    since: float | None = None
    """When it went out, epoch time."""
    failing: float | None = None
    """Since when it does nothing but fail, monotonic, s."""

    def bears(self, visit: Visit, now: float) -> bool:
        """Whether what a visit found is no reason to leave the host alone."""
        if visit.well:
            self.failing = None
            return True
        self.failing = now if self.failing is None else self.failing
        quick = visit.answered or now - visit.begun < SLOW
        return quick and now - self.failing < BEARABLE


class Hosts:
    """Who is well is not remembered, and costs nothing. ``timeout`` s has whoever tries a host that is out."""

    def __init__(self, *, fleet: Fleet, news: News, clock: Clock, dice: Dice, timeout: float) -> None:
        self._fleet = fleet
        self._news = news
        self._clock = clock
        self._dice = dice
        self._timeout = timeout
        self._hosts: OrderedDict[str, _Host] = OrderedDict()
        self._errands: set[asyncio.Task[None]] = set()
        """What the fleet is told, beside the work: between a send and its record nothing may be waited for."""
        news.hear(TOPIC, self._hear)

    @property
    def out(self) -> int:
        """How many are out."""
        return sum(known.since is not None for known in self._hosts.values())

    def summary(self) -> list[dict[str, Any]]:
        """Those that are out, for people: not more than a screen of them."""
        now = self._clock.monotonic()
        out = ((host, known, known.since) for host, known in self._hosts.items() if known.since is not None)
        return [
            {
                "host": host,
                "since": datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds"),
                "probe_in": round(known.breaker.left(now), 1),
            }
            for host, known, since in islice(out, LISTED)
        ]

    async def enter(self, host: str) -> Visit:
        """Ask before anything is spent on a send; whoever is not sent away says how it went, by ``leave``."""
        known, now = self._hosts.get(host), self._clock.monotonic()
        if known is None:
            return Visit(host, begun=now)
        state = known.breaker.state(now)
        if state == "closed":
            return Visit(host, begun=now)
        if state == "due" and await self._chosen(host, known, now):
            return Visit(host, begun=now, probe=True)
        opens = now + known.breaker.left(now)
        return Visit(host, begun=now, away=known.returns.after(STEP, now=now, dice=self._dice(), opens=opens))

    def leave(self, visit: Visit) -> None:
        """The send has ended, or did not come about."""
        if visit.wish is not None:
            self._tell("out", visit.wish, visit.host)
        elif visit.well is not None and (visit.probe or not visit.well or visit.host in self._hosts):
            self._judge(visit)
        if visit.probe:
            self._start(self._probed(visit.host))

    async def close(self) -> None:
        """Tell nobody anything any more."""
        for errand in self._errands:
            errand.cancel()
        await asyncio.gather(*self._errands, return_exceptions=True)

    def _start(self, errand: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _chosen(self, host: str, known: _Host, now: float) -> bool:
        # Also where it is ours: until it is known how it went, the others of this process need not ask.
        known.breaker.hold(BETWEEN, now=now)
        try:
            return await self._fleet.probe(_key(host), self._timeout)
        except Unready:
            return False

    async def _probed(self, host: str) -> None:
        try:
            await self._fleet.probed(_key(host))
        except Unready:
            return  # its time ends by itself

    def _judge(self, visit: Visit) -> None:
        now, known = self._clock.monotonic(), self._known(visit.host)
        well, breaker = known.bears(visit, now), known.breaker
        if well and (visit.probe or (visit.well and known.since is not None)):
            self._tell("well", 0.0, visit.host)
            return
        dice = self._dice()
        seconds = breaker.pause(now=now, dice=dice) if visit.probe else breaker.ended(well=well, now=now, dice=dice)
        if seconds is not None:
            self._tell("out", seconds, visit.host)
        elif breaker.spotless and known.failing is None:
            del self._hosts[visit.host]

    def _known(self, host: str) -> _Host:
        known = self._hosts.setdefault(host, _Host())
        self._hosts.move_to_end(host)
        if len(self._hosts) > MOST:
            self._hosts.popitem(last=False)
        return known

    def _tell(self, state: str, seconds: float, host: str) -> None:
        self._heard(state, seconds, host)
        self._start(self._news.tell(TOPIC, f"{state} {round(1000 * seconds)} {host}"))

    def _hear(self, text: str) -> None:
        match text.split(" ", 2):
            case ["out" | "well" as state, ms, host] if ms.isdecimal():
                self._heard(state, int(ms) / 1000, host)

    def _heard(self, state: str, seconds: float, host: str) -> None:
        if state == "well":
            if self._hosts.pop(host, None) is not None:
                _log.warning("host.well", host=host)
            return
        known = self._known(host)
        known.breaker.follow(seconds, now=self._clock.monotonic())
        if known.since is None:
            known.since = self._clock.now()
            _log.warning("host.out", host=host, seconds=round(seconds, 1))


def _key(host: str) -> str:
    """What it is tried under: the fleet tries APIs, too."""
    return f"host:{host}"
