"""Whether processors or event loops limit the fleet: too little CPU, a loop that is blocked, processes that compute.

A process knows for how long it waited for a processor. What that wait explains is held against nobody else.
"""

from notification_sender.model.process_report import ProcessReport
from notification_sender.policy.candidates import Candidate, Order
from notification_sender.policy.fleet_view import Fleet, FleetView
from notification_sender.policy.words import counted

WAITED = 0.5
"""Part of its running time for which the loop's thread waited for a processor."""

WAITED_OF_ALL = 0.25
"""Part of the time for which the loop's thread waited for a processor: work takes longer by so much."""

LATE = 0.1
"""Part of the time for which due work waited because the loop was late: waiting for a processor does harm."""

THROTTLED = 0.05
"""Part of the time for which the CPU limit of the container stopped the process."""

BUSY = 0.85
"""Part of one processor that a process uses or waits for. One event loop uses one processor at most."""

LOOP_LOST = 0.05
"""Part of the time that one process spends in long turns of its own computing."""

LOOP_STALLS = 3
"""Stalls of 250 ms or more by our own computing, or by a blocking call."""


def machine(_: FleetView, fleet: Fleet) -> Candidate:
    """Other processes have the processors, or the container's CPU limit is reached."""
    nobody = ProcessReport(process="")
    worst = max(fleet.reports, key=lambda it: (_starved(it, fleet), it.loop.wait_share), default=nobody)
    holds, waited = _starved(worst, fleet), worst.loop.wait_share
    throttled = _part(worst.loop.throttled, worst)
    limited = throttled >= THROTTLED
    said = f"Others on {worst.host} have the processors: a worker that could run waits for one {waited:.0%} of the time"
    if limited:
        said = f"The CPU limit of the container stops a worker on {worst.host} for {throttled:.0%} of the time"
    return Candidate(
        limit="cpu",
        subject=worst.host if holds else None,
        used=round(100 * (throttled if limited else waited)),
        allowed=round(100 * (THROTTLED if limited else WAITED)),
        waiting=fleet.unsettled if holds else 0.0,
        unit="% waited",
        order=Order.MACHINE if holds else Order.NONE,
        sentence=f"{said}, and {_harm(worst, fleet)}",
        advice=("Give the workers more CPU, or move what runs beside them.",),
        more_pods_help=True,
        why_pods="on other machines: here they would share the same processors",
    )


def _starved(it: ProcessReport, fleet: Fleet) -> bool:
    """Whether it gets too little CPU, and work is late or piles up for that."""
    late = _part(it.loop.lost, it) >= LATE
    return (_is_short(it) and late) or (is_slowed(it) and fleet.behind)


def _is_short(it: ProcessReport) -> bool:
    return it.loop.wait_share >= WAITED or _part(it.loop.throttled, it) >= THROTTLED


def is_slowed(it: ProcessReport) -> bool:
    """Whether it gets so little CPU that all it does takes longer."""
    return _is_short(it) and _part(it.loop.waited, it) >= WAITED_OF_ALL


def _harm(it: ProcessReport, fleet: Fleet) -> str:
    late = _part(it.loop.lost, it)
    return (
        f"{fleet.ready} messages wait" if fleet.behind and late < LATE else f"its work is late {late:.0%} of the time"
    )


def loop(_: FleetView, fleet: Fleet) -> Candidate:
    """Something computes, or blocks, on the event loop."""
    lost = stalls = 0.0
    process = None
    for it in fleet.reports:
        share = _part(it.loop.own, it)
        times = it.loop.stalls.get("work", 0) + it.loop.stalls.get("blocked", 0)
        if (share, times) > (lost, stalls):
            lost, stalls, process = share, times, it.process
    holds = lost >= LOOP_LOST or stalls >= LOOP_STALLS
    return Candidate(
        limit="loop",
        subject=process if holds else None,
        used=round(100 * lost, 1),
        allowed=100 * LOOP_LOST,
        waiting=fleet.unsettled if holds else 0.0,
        unit="% lost",
        order=Order.MACHINE if holds else Order.NONE,
        sentence=f"The event loop of {process} is blocked {lost:.0%} of the time ({counted(stalls, 'stall')})",
        advice=("Look for `loop.stalled` in the log: `stack` names the code. Take that code out of the loop.",),
        why_pods="each of them would block in the same way",
    )


def own_cpu(_: FleetView, fleet: Fleet) -> Candidate:
    """The processes compute all the time, or would if they got a processor."""
    wanted = [max(it.loop.cpu, it.loop.ran + it.loop.waited) / it.window for it in fleet.reports if it.window > 0]
    mean = sum(wanted) / len(wanted) if wanted else 0.0
    used = sum(_part(it.loop.cpu, it) for it in fleet.reports) / len(wanted) if wanted else 0.0
    holds = mean >= BUSY and fleet.waiting_for_slots > 0
    said = f"Each process uses {used:.0%} of a processor: that is all that one event loop can use"
    if used < BUSY:
        said = f"Each process uses {used:.0%} of a processor, and waits for one for most of the other time"
    return Candidate(
        limit="cpu",
        used=round(100 * mean),
        allowed=100,
        waiting=fleet.waiting_for_slots if holds else 0.0,
        unit="% of a processor",
        order=Order.CAPACITY if holds else Order.NONE,
        sentence=said,
        advice=("Start more pods, or more processes in each (`run --processes`).",),
        more_pods_help=True,
        why_pods="each brings a processor",
    )


def _part(seconds: float, it: ProcessReport) -> float:
    return seconds / it.window if it.window > 0 else 0.0
