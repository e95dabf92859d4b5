"""Whether an internal API limits the fleet: it fails, is slow, or has too few slots."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from notification_sender.model.override import OPEN
from notification_sender.model.process_report import ApiUse, WaitCause
from notification_sender.policy.candidates import AT_LEAST, Candidate, Order
from notification_sender.policy.fleet_view import Fleet, FleetView, fills_the_slots
from notification_sender.policy.processors import is_slowed
from notification_sender.policy.words import counted

API_FAILED = 0.05
"""Part of the calls to an API that fail."""

API_LATE = 0.5
"""Part of the calls to an API whose answers begin after the objective: it is slow as a whole."""

API_LATE_TAIL = 0.003
"""As ``API_LATE``: some of its calls are slow. A mean does not show them."""

API_WAIT_SECONDS = 0.1
"""Mean wait of a call for a slot of its API."""

SERVER_PART = 0.5
"""Part of the time to the first byte that an API spends in another one."""


def apis(view: FleetView, fleet: Fleet) -> Iterator[Candidate]:
    """Each internal API."""
    held_open = {it.subject for it in view.overrides if it.kind == "circuit" and it.value == OPEN}
    for name, use in fleet.apis.items():
        held = [it for it in fleet.held if it.reason == "context_unavailable" and it.subject == name]
        blamed = _blamed(fleet, name, use)
        candidate = _api(fleet, name, use, held)
        if use.state == "out" and f"api/{name}" in held_open:
            candidate = _forced(name, candidate)
        if blamed and candidate.order != Order.NONE:
            detail = f"{candidate.sentence}; it spends that time in {blamed} (its Server-Timing)"
            candidate = replace(candidate, subject=blamed, sentence=detail)
        yield candidate


def _api(fleet: Fleet, name: str, use: ApiUse, held: Sequence[WaitCause]) -> Candidate:
    deferred = sum(it.count for it in held)
    waiting = sum(it.waiting for it in held) + use.in_flight + use.waiting
    phase = _phase(use, held)
    failing = use.failed >= AT_LEAST and use.failed >= API_FAILED * use.calls
    late = use.late >= AT_LEAST
    order, what = Order.NONE, ""
    # Nothing needs an API for which nothing is deferred while work goes on: its fact is optional.
    out, stops = use.state == "out", bool(deferred) or not fleet.arrived
    if out or failing or deferred >= AT_LEAST:
        order = Order.WORK if stops or failing else Order.FAULT
        what = _failing(name, use, deferred)
        waiting += fleet.ready if out and stops else 0
    elif (use.state == "slow" and use.calls) or (late and use.late >= API_LATE * use.calls):
        order, what = Order.WORK, _slow(name, use, phase)
    elif use.calls >= AT_LEAST and use.phases.get("wait", 0.0) >= API_WAIT_SECONDS * use.calls:
        order, phase = Order.WORK, "slot"
        what = f"Calls to {name} wait {_mean(use, 'wait')} for one of its {use.limit} slots"
    elif use.late:
        alone = late and use.late >= API_LATE_TAIL * use.calls and not _explained(fleet)
        order = Order.FAULT if alone else Order.WATCHED
        what = f"{use.late} of {use.calls} calls to {name} are slow (a mean does not show it): mean {_all(use)}"
    if order == Order.WORK and not out and fills_the_slots(fleet, use):
        waiting += fleet.waiting_for_slots
    return Candidate(
        limit="api",
        subject=name,
        phase=phase if order != Order.NONE else None,
        used=use.in_flight,
        allowed=use.limit,
        waiting=waiting,
        unit="calls",
        order=order,
        sentence=what,
        advice=(f"Look at {name}: {_where(phase)}.", f"It takes answers of {name} within NS_API_OBJECTIVE."),
        why_pods=f"they would call the same {name}",
    )


def _explained(fleet: Fleet) -> bool:
    """Whether some calls of most APIs were late, or the machine is short of CPU: then it is none of these APIs."""
    late = [use.late > 0 for use in fleet.apis.values() if use.calls]
    together = sum(late) > 1 and 2 * sum(late) > len(late)
    return together or any(map(is_slowed, fleet.reports))


def _forced(name: str, it: Candidate) -> Candidate:
    """An operator holds its circuit open: nobody needs to look at the API."""
    return replace(
        it,
        sentence=f"An operator holds the circuit of {name} open: it is not called",
        advice=(f"`notification-sender circuits reset api/{name}` ends that before its time.",),
        why_pods="they would obey the same override",
    )


def _failing(name: str, use: ApiUse, deferred: int) -> str:
    state = f"{name} is out: its circuit is open" if use.state == "out" else f"{name} fails"
    waits = counted(deferred, "delivery was", "deliveries were")
    return f"{state}; {use.failed} of {counted(use.calls, 'call')} failed, {waits} deferred for it"


def _slow(name: str, use: ApiUse, phase: str) -> str:
    own = sum(use.servers.values()) / use.calls if use.calls and use.servers else None
    reported = f"; it reports {1000 * own:.0f} ms of its own" if own is not None else ""
    return f"{name} is slow: a call takes {_all(use)}, most of it {_where(phase)}{reported}"


def _phase(use: ApiUse, held: Sequence[WaitCause]) -> str:
    """Where the time goes: as the failed calls say, else as all calls do."""
    said = max((it for it in held if it.phase), key=lambda it: it.count, default=None)
    if said is not None and said.phase != "breaker":
        return said.phase
    names = {it: seconds for it, seconds in use.phases.items() if seconds > 0}
    longest = max(names, key=names.__getitem__, default="first_byte")
    return "slot" if longest == "wait" else longest


def _where(phase: str) -> str:
    return {
        "slot": "waiting for a slot",
        "connect": "connecting",
        "first_byte": "until the first byte of its answer",
        "body": "reading its answer",
        "read": "its answers cannot be used",
        "shared": "waiting for a call that another process made",
    }.get(phase, phase)


def _mean(use: ApiUse, phase: str) -> str:
    return f"{1000 * use.phases.get(phase, 0.0) / use.calls:.0f} ms" if use.calls else "unknown"


def _all(use: ApiUse) -> str:
    return f"{1000 * sum(use.phases.values()) / use.calls:.0f} ms" if use.calls else "unknown"


def _blamed(fleet: Fleet, name: str, use: ApiUse) -> str:
    """Another API, in which this one spends most of its time."""
    first = use.phases.get("first_byte", 0.0)
    for other, seconds in use.servers.items():
        if other != name and other in fleet.apis and first > 0 and seconds >= SERVER_PART * first:
            return other
    return ""
