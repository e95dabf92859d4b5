"""The model: pods, the units queue, one internal API, and an autoscaler, in steps of 15 s.

The decisions are the product's own: each step makes the reports that 1,000 workers would write, and the verdict and the
hint come from ``policy``. The autoscaler follows the published algorithm of the HorizontalPodAutoscaler: desired =
ceil(metric / target), a tolerance of 10 %, stabilisation windows, and limits of change for each minute.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from notification_sender.model.process_report import ApiUse, ProcessReport
from notification_sender.policy.fleet_view import FleetView, Received, Sample
from notification_sender.policy.verdict import verdict

STEP = 15.0
"""Seconds between two looks of the autoscaler."""

SLOTS = 200
"""Of a pod."""

SECONDS_A_UNIT = 2.0
"""For which a unit holds its slot: 0.2 s of context, the rest waits for the recipient."""

CONTEXT_SECONDS = 0.2
CAPACITY = SLOTS / SECONDS_A_UNIT
"""Units a second that a pod delivers."""

START_SECONDS = 30.0
"""Until a new pod works."""

LEAST, MOST = 10, 1000
"""Pods."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One step. ``arrivals``: units a second; ``api``: whether the internal API answers."""

    arrivals: float
    api: bool


@dataclass(slots=True)
class Autoscaler:
    """A HorizontalPodAutoscaler. ``target``: of the metric for each pod."""

    target: float
    up_seconds: float = 30.0
    down_seconds: float = 300.0
    up_a_minute: float = 2.0
    down_a_minute: float = 0.75
    _wanted: deque[int] = field(default_factory=deque)
    _pods: deque[int] = field(default_factory=deque)

    def pods(self, now: int, metric: float | None) -> int:
        """How many pods there must be. ``now``: pods at present; ``metric`` None: unknown, so nothing changes."""
        ratio = None if metric is None else metric / (self.target * now)
        wanted = now if metric is None or ratio is None or abs(ratio - 1) <= 0.1 else math.ceil(metric / self.target)
        self._wanted.append(min(max(wanted, LEAST), MOST))
        self._pods.append(now)
        _last(self._wanted, self.down_seconds)
        _last(self._pods, 60.0)
        up = min(list(self._wanted)[-int(self.up_seconds / STEP) :])
        down = max(self._wanted)
        if up > now:
            return min(up, math.ceil(min(self._pods) * self.up_a_minute))
        return max(min(down, now), math.floor(max(self._pods) * self.down_a_minute)) if down < now else now


def _last(values: deque[int], seconds: float) -> None:
    while len(values) > seconds / STEP:
        values.popleft()


@dataclass(slots=True)
class Fleet:
    """The state between two steps, and what each step came to."""

    pods: int
    queue: float = 0.0
    starting: deque[int] = field(default_factory=deque)
    depths: deque[Sample] = field(default_factory=lambda: deque(maxlen=20))
    history: list[tuple[float, int, float, str, float | None]] = field(default_factory=list)
    """Seconds, pods, units that wait, the limit and the hint, at each step."""

    def step(self, at: float, moment: Moment) -> FleetView:
        """Work for one step; return the reports of it."""
        self.starting.append(self.pods)
        working = min(self.starting)
        if len(self.starting) > START_SECONDS / STEP:
            self.starting.popleft()
        possible = working * CAPACITY if moment.api else 0.0
        done = min(self.queue / STEP + moment.arrivals, possible)
        self.queue = max(0.0, self.queue + (moment.arrivals - done) * STEP)
        self.depths.append(Sample(at, int(self.queue), 0, 0))
        report = _report(done / working, moment, waits=self.queue > 0)
        received = [Received(f"pod-{it}", at, replace(report, process=f"pod-{it}")) for it in range(working)]
        return FleetView(now=at, received=received, samples=tuple(self.depths))


def _report(done: float, moment: Moment, *, waits: bool) -> ProcessReport:
    """What a pod says that delivers ``done`` units a second."""
    held = {"context.organization": done * CONTEXT_SECONDS, "send.webhook": done * (SECONDS_A_UNIT - CONTEXT_SECONDS)}
    if not moment.api:
        # A few units ask again and again whether the API is back; the intake of the others is paused.
        held = {"context.organization": 2.0}
    api = ApiUse(limit=50, calls=100, failed=0 if moment.api else 100, state="well" if moment.api else "out")
    return ProcessReport(
        process="",
        slots=SLOTS,
        slots_allowed=SLOTS,
        slot_seconds={step: slots * 40.0 for step, slots in held.items()},
        lanes_waiting=int(moment.api and waits),
        arrived=int(done * 40.0),
        outcomes={"unit done ": int(done * 40.0), "notification delivered ": int(done * 40.0)},
        apis={"aaa": api},
        redis_ms=0.5,
    )


Metric = Callable[[FleetView, Fleet], tuple[float | None, str]]


def useful_demand(view: FleetView, _: Fleet) -> tuple[float | None, str]:
    """What ``notification_sender_scale_hint`` says; unknown while an internal API is the limit, as the chart asks."""
    judged = verdict(view)
    return None if judged.limit == "api" else judged.scale_hint, judged.limit


def depth(view: FleetView, fleet: Fleet) -> tuple[float | None, str]:
    """Messages that wait, as scalers on a queue see them."""
    return fleet.queue, verdict(view).limit


def simulate(moments: list[Moment], metric: Metric, scaler: Autoscaler, pods: int) -> Fleet:
    """Run all steps."""
    fleet = Fleet(pods)
    for number, moment in enumerate(moments):
        at = number * STEP
        value, limit = metric(fleet.step(1e9 + at, moment), fleet)
        fleet.history.append((at, fleet.pods, fleet.queue, limit, value))
        fleet.pods = scaler.pods(fleet.pods, value)
    return fleet


def the_day(scale: float = 1.0) -> list[Moment]:
    """Two and a half hours: an outage of the API for 20 minutes, then arrivals that double for 20 minutes."""

    def moment(minute: float) -> Moment:
        arrivals = 15_000.0 * (2 if 100 <= minute < 120 else 1)
        return Moment(arrivals * scale, api=not 20 <= minute < 40)

    return [moment(number * STEP / 60) for number in range(int(150 * 60 / STEP))]
