"""Templates that fail every time. Their notifications are deferred until one of them proves that the template works."""

import math
from collections.abc import Iterable

import structlog

from notification_sender.model.errors import RenderFault
from notification_sender.policy.breaker import Breaker, Rules
from notification_sender.ports.clock import Clock, Dice

Pair = tuple[str, str]
"""A template, and a channel."""

IN_A_ROW = 20
"""Failures of one template in a row after which it is paused: odd data of one unit cannot be the reason."""

PROBE_SECONDS = 30.0
"""Seconds for which a probing unit keeps other units from probing. A probe may end without a result: an API is away, or
the worker returns the message.
"""

SPREAD_SECONDS = 10.0
"""Seconds over which notifications come back that were deferred together."""

WHILE_PROBED_SECONDS = 2.0
"""Seconds of a deferral while another unit probes."""

RULES = Rules(failures=IN_A_ROW, share=0.99, last=IN_A_ROW, window=math.inf, shortest=1.0, longest=60.0)

_log = structlog.get_logger()


class FailingTemplates:
    """The failing templates of one process. It reads templates at its start: a corrected folder needs a restart."""

    def __init__(self, *, clock: Clock, dice: Dice) -> None:
        self._clock = clock
        self._dice = dice
        self._breakers: dict[Pair, Breaker] = {}
        """For each template whose last rendering failed."""
        self._probes: dict[Pair, float] = {}
        """When the probe of a template ends, monotonic, s."""

    @property
    def out(self) -> list[str]:
        """The paused templates, as ``template/channel``."""
        now = self._clock.monotonic()
        return [f"{name}/{channel}" for (name, channel), it in self._breakers.items() if it.state(now) != "closed"]

    def permit(self, pairs: Iterable[Pair]) -> "RenderPermit":
        """For one unit: decide which of ``pairs`` it may render, and for which it is the probe."""
        if not self._breakers:
            return RenderPermit(self, {}, set())
        away = {pair: seconds for pair in pairs if (seconds := self.away(pair))}
        return RenderPermit(self, away, {pair for pair in pairs if pair not in away and self._probe(pair)})

    def away(self, pair: Pair) -> float:
        """Return the seconds of a deferral; 0: the template may be rendered."""
        if pair not in self._breakers:
            return 0.0
        breaker = self._breakers[pair]
        now = self._clock.monotonic()
        if breaker.state(now) == "closed":
            return 0.0
        left = breaker.left(now)
        if not left:
            left = WHILE_PROBED_SECONDS if self._probes.get(pair, 0.0) > now else 0.0
        # Notifications that were deferred together must not come back at once.
        return max(1.0, left + self._dice() * min(left, SPREAD_SECONDS)) if left else 0.0

    def _probe(self, pair: Pair) -> bool:
        breaker = self._breakers.get(pair)
        if breaker is None or breaker.state(now := self._clock.monotonic()) != "due":
            return False
        self._probes[pair] = now + PROBE_SECONDS
        return True

    def rendered(self, pair: Pair) -> None:
        """Record a success."""
        if pair not in self._breakers:
            return
        breaker = self._breakers.pop(pair)
        self._probes.pop(pair, None)
        if breaker.state(self._clock.monotonic()) != "closed":
            _log.warning("template.recovered", template=pair[0], channel=pair[1])

    def failed(self, pair: Pair, fault: RenderFault) -> float:
        """Record a failure. Return the seconds of a deferral if it was paused; 0: the notification is dead."""
        breaker, now = self._breakers.setdefault(pair, Breaker(RULES)), self._clock.monotonic()
        if breaker.state(now) != "closed":
            self._probes.pop(pair, None)
            breaker.pause(now=now, dice=self._dice())
            return self.away(pair)
        if breaker.record_result(well=False, now=now, dice=self._dice()):
            advice = "correct the template and restart the worker; its notifications wait"
            _log.error("template.failing", template=pair[0], channel=pair[1], error=str(fault), advice=advice)
        return 0.0


class RenderPermit:
    """The templates that one unit may render. ``away``: seconds of the deferral, for each that it may not."""

    def __init__(self, failing: FailingTemplates, away: dict[Pair, float], probes: set[Pair]) -> None:
        self._failing = failing
        self._probes = probes
        self.away = away

    def delay_for(self, pair: Pair) -> float:
        """Return the seconds for which the next notification is deferred; 0: render it."""
        if pair in self.away:
            return self.away[pair]
        if pair in self._probes:
            # Only the first one probes. Its result holds for the others of the same unit.
            self._probes.discard(pair)
            return 0.0
        return self._failing.away(pair)
