"""What deliveries wait for, or die of: an API, a throttle, a destination, a template, a file, a pause, poison."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from notification_sender.model.override import OPEN
from notification_sender.model.process_report import ApiUse, WaitCause
from notification_sender.policy.candidates import Candidate, Order
from notification_sender.policy.fleet_view import Fleet, FleetView, fills_the_slots, is_replaced
from notification_sender.policy.most import destination_of, most
from notification_sender.policy.words import counted

AT_LEAST = 3
"""Cases in the window: fewer are bad luck."""

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

DESTINATION_PART = 0.02
"""Part of the deliveries that a destination must hold up. Some destination of some customer always fails."""

DESTINATION_REASONS = {"host_out", "sender_rejected", "failed"}
FILE_REASONS = {"secret_missing": "secret", "ca_missing": "secret"}
POISON_REASONS = {"malformed", "schema", "crashed", "too_large", "tenant_mismatch", "subject_not_found", "unroutable"}
DEATHS, DEATHS_SECONDS = 2, 120.0
"""Workers that ended without a goodbye, and were replaced: a unit that kills its worker comes back four times."""

HOLD = "retry_after"
"""The limit of a destination that asked for time."""


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
        alone = late and use.late >= API_LATE_TAIL * use.calls and not _late_together(fleet)
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


def _late_together(fleet: Fleet) -> bool:
    """Whether some calls of most APIs were late: that is the network or the machine, and none of these APIs."""
    late = [use.late > 0 for use in fleet.apis.values() if use.calls]
    return sum(late) > 1 and 2 * sum(late) > len(late)


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


def throttle(_: FleetView, fleet: Fleet) -> Candidate:
    """The limits of organizations and destinations."""
    held = [it for it in fleet.held if it.reason == "throttled" and it.subject != HOLD]
    first = most(held, lambda it: it.organization)
    who = f"organization {first.name}" if first.name else counted(first.different, "organization")
    count = sum(it.count for it in held)
    holds = count >= AT_LEAST
    return Candidate(
        limit="throttle",
        subject=first.name if holds else None,
        used=count,
        waiting=sum(it.waiting for it in held),
        unit="deferrals",
        order=Order.WORK if holds else Order.NONE,
        sentence=f"The rate limit of {who} holds deliveries back: {first.count:,} deferred{first.beside}",
        advice=("If the recipient can take more, raise its limit (NS_THROTTLE_WEBHOOK, NS_THROTTLE_EMAIL, `rate`).",),
        why_pods="the limit is one for the whole fleet",
    )


def destination(_: FleetView, fleet: Fleet) -> Candidate:
    """Recipients that hang, fail or ask for time."""
    held = [
        it for it in fleet.held if it.reason in DESTINATION_REASONS or (it.reason, it.subject) == ("throttled", HOLD)
    ]
    first = most(held, destination_of)
    *owner, id_ = (first.name or "").split("/")
    who = counted(first.different, "destination")
    if first.name:
        who = f"Destination {id_} of organization {owner[0]}" if owner else f"Destination {id_}"
    full = [it for it in fleet.held if it.reason == "destination_full"]
    count, hanging = sum(it.count for it in held), len(fleet.hosts_out)
    holds = count >= AT_LEAST and count >= DESTINATION_PART * fleet.delivered
    circuits = f", {counted(hanging, 'circuit is', 'circuits are')} open" if hanging else ""
    attempts = counted(first.count, "attempt")
    return Candidate(
        limit="destination",
        subject=first.name if holds else None,
        used=count,
        waiting=sum(it.waiting for it in (*held, *full)),
        unit="failures",
        order=Order.WORK if holds else Order.NONE,
        sentence=f"{who} cannot be delivered to: {attempts} failed or had to wait{first.beside}{circuits}",
        advice=("Ask the owner of the destination; its deliveries are tried again by schedule.",),
        why_pods="they would wait for the same recipients",
    )


def template(_: FleetView, fleet: Fleet) -> Candidate:
    """A template that cannot be rendered."""
    failing = sorted({it for report in fleet.reports for it in report.templates_failing})
    held = [it for it in fleet.held if it.reason == "template_failing"]
    died = [it for it in fleet.held if it.reason == "dead render"]
    dead = fleet.dead["render"]
    letters = counted(dead, "notification is", "notifications are")
    holds = bool(failing) or dead >= AT_LEAST
    name = next((it for it in (*failing, *(it.subject for it in (*died, *held))) if it), None)
    return Candidate(
        limit="template",
        subject=name,
        used=dead,
        waiting=sum(it.waiting for it in held) + (dead if holds else 0),
        unit="dead",
        order=Order.WORK if holds else Order.NONE,
        sentence=f"The template {name or ''} cannot be rendered: {letters} dead".replace("  ", " "),
        advice=(
            "Correct the template and restart the workers, then run `notification-sender dead replay --reason render`.",
        ),
        why_pods="they would read the same template",
    )


def secret(_: FleetView, fleet: Fleet) -> Candidate:
    """A destination whose signing secret or certificate is missing."""
    files = sorted({it for report in fleet.reports for it in report.waiting_for_files})
    held = [it for it in fleet.held if it.reason in FILE_REASONS]
    subject = files[0].partition(": ")[0] if files else None
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    cause = files[0].partition(": ")[2] if files else ""
    return Candidate(
        limit="secret",
        subject=subject,
        used=len(files),
        waiting=sum(it.waiting for it in held) or len(files),
        unit="destinations",
        order=Order.WORK if files else Order.NONE,
        sentence=f"{subject}{more} waits for a file: {cause}",
        advice=("Put the file into its place: the workers read it by themselves.",),
        why_pods="they would miss the same file",
    )


def poison(view: FleetView, fleet: Fleet) -> Candidate:
    """Messages that can never be delivered, or kill their worker."""
    dead = {reason: number for reason, number in fleet.dead.items() if reason in POISON_REASONS}
    killed = sum(view.now - it.at <= DEATHS_SECONDS for it in view.received if is_replaced(view, it))
    count = sum(dead.values())
    reason = max(dead, key=dead.__getitem__, default=None)
    letters = counted(count, "work unit became a dead letter", "work units became dead letters")
    said = f"{letters}, because they can never be delivered ({reason})"
    if killed >= DEATHS:
        reason, said = "crashed", f"{killed} workers died in {DEATHS_SECONDS:.0f} s: a work unit may kill them"
    holds = count >= AT_LEAST or killed >= DEATHS
    return Candidate(
        limit="poison",
        subject=reason if holds else None,
        used=max(count, killed),
        waiting=count + fleet.unsettled * (killed >= DEATHS) if holds else 0,
        unit="dead",
        order=Order.WORK if holds else Order.NONE,
        sentence=said,
        advice=("Look at them with `notification-sender dead list`, and tell their publisher.",),
        why_pods="the units would be as wrong",
    )


def paused(view: FleetView, fleet: Fleet) -> Candidate:
    """What an operator has paused."""
    held = [it for it in fleet.held if it.reason == "paused"]
    first = view.pauses[0] if view.pauses else None
    more = f" and {len(view.pauses) - 1} more" if len(view.pauses) > 1 else ""
    kind, _, name = (first.subject if first else "all").partition("/")
    what = f"{kind} {name}" if name else "everything"
    waiting = sum(it.waiting for it in held)
    return Candidate(
        limit="paused",
        subject=(name or "all") if first else None,
        used=len(view.pauses),
        waiting=waiting,
        unit="pauses",
        order=Order.NONE if first is None else Order.WORK if waiting or not name else Order.FAULT,
        sentence=f"An operator has paused {what}{more}",
        advice=(
            "See `notification-sender pause --list`; `resume` with the same options ends a pause before its time.",
        ),
        why_pods="they would obey the same pause",
    )
