"""What deliveries wait for, or die of: an API, a throttle, a destination, a template, a file, a pause, poison."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from notification_sender.model.process_report import ApiUse, WaitCause
from notification_sender.policy.candidates import Candidate, Order
from notification_sender.policy.fleet_view import Fleet, FleetView, is_replaced

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

MOSTLY = 0.6
"""Part of what waits from which on one subject is named, and not their number."""

DESTINATION_PART = 0.02
"""Part of the deliveries that a destination must hold up. Some destination of some customer always fails."""

DESTINATION_REASONS = {"host_out", "sender_rejected", "failed"}
FILE_REASONS = {"secret_missing": "secret", "ca_missing": "secret"}
POISON_REASONS = {"malformed", "schema", "crashed", "too_large", "tenant_mismatch", "subject_not_found", "unroutable"}
DEATHS, DEATHS_SECONDS = 2, 120.0
"""Workers that ended without a goodbye, and were replaced: a unit that kills its worker comes back four times."""

HOLD = "retry_after"
"""The limit of a destination that asked for time."""


def apis(_: FleetView, fleet: Fleet) -> Iterator[Candidate]:
    """Each internal API."""
    for name, use in fleet.apis.items():
        held = [it for it in fleet.held if it.reason == "context_unavailable" and it.subject == name]
        blamed = _blamed(fleet, name, use)
        candidate = _api(fleet, name, use, held)
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
    if use.state == "out" or failing or deferred >= AT_LEAST:
        order, what = Order.WORK, _failing(name, use, deferred)
        waiting += fleet.ready if use.state == "out" else 0
    elif use.state == "slow" or (late and use.late >= API_LATE * use.calls):
        order, what = Order.WORK, _slow(name, use, phase)
    elif use.calls >= AT_LEAST and use.phases.get("wait", 0.0) >= API_WAIT_SECONDS * use.calls:
        order, phase = Order.WORK, "slot"
        what = f"Calls to {name} wait {_mean(use, 'wait')} for one of its {use.limit} slots"
    elif use.late:
        alone = late and use.late >= API_LATE_TAIL * use.calls and not _late_together(fleet)
        order = Order.FAULT if alone else Order.WATCHED
        what = f"{use.late} of {use.calls} calls to {name} are slow (a mean does not show it): mean {_all(use)}"
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


def _failing(name: str, use: ApiUse, deferred: int) -> str:
    state = f"{name} is out: its circuit is open" if use.state == "out" else f"{name} fails"
    return f"{state}; {use.failed} of {use.calls} calls failed, {deferred} deliveries were deferred for it"


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
    subject, who = _subject(held, "organization", "organizations")
    count = sum(it.count for it in held)
    holds = count >= AT_LEAST
    return Candidate(
        limit="throttle",
        subject=subject if holds else None,
        used=count,
        waiting=sum(it.waiting for it in held),
        unit="deferrals",
        order=Order.WORK if holds else Order.NONE,
        sentence=f"The rate limit of {who} holds deliveries back: {count} were deferred",
        advice=("If the recipient can take more, raise its limit (NS_THROTTLE_WEBHOOK, NS_THROTTLE_EMAIL, `rate`).",),
        why_pods="the limit is one for the whole fleet",
    )


def destination(_: FleetView, fleet: Fleet) -> Candidate:
    """Recipients that hang, fail or ask for time."""
    held = [
        it for it in fleet.held if it.reason in DESTINATION_REASONS or (it.reason, it.subject) == ("throttled", HOLD)
    ]
    subject, who = _subject(held, "destination", "destinations", by="subject")
    full = [it for it in fleet.held if it.reason == "destination_full"]
    count, hanging = sum(it.count for it in held), len(fleet.hosts_out)
    holds = count >= AT_LEAST and count >= DESTINATION_PART * fleet.delivered
    circuits = f", {hanging} circuits are open" if hanging else ""
    who = who[0].upper() + who[1:]
    return Candidate(
        limit="destination",
        subject=subject if holds else None,
        used=count,
        waiting=sum(it.waiting for it in (*held, *full)),
        unit="failures",
        order=Order.WORK if holds else Order.NONE,
        sentence=f"{who} cannot be delivered to: {count} attempts failed or were deferred{circuits}",
        advice=("Ask the owner of the destination; its deliveries are tried again by schedule.",),
        why_pods="they would wait for the same recipients",
    )


def template(_: FleetView, fleet: Fleet) -> Candidate:
    """A template that cannot be rendered."""
    failing = sorted({it for report in fleet.reports for it in report.templates_failing})
    held = [it for it in fleet.held if it.reason == "template_failing"]
    died = [it for it in fleet.held if it.reason == "dead render"]
    dead = fleet.dead["render"]
    holds = bool(failing) or dead >= AT_LEAST
    name = next((it for it in (*failing, *(it.subject for it in (*died, *held))) if it), None)
    return Candidate(
        limit="template",
        subject=name,
        used=dead,
        waiting=sum(it.waiting for it in held) + (dead if holds else 0),
        unit="dead",
        order=Order.WORK if holds else Order.NONE,
        sentence=f"The template {name or ''} cannot be rendered: {dead} notifications are dead".replace("  ", " "),
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
    said = f"{count} work units became dead letters because they can never be delivered ({reason})"
    if killed >= DEATHS:
        reason, said = "crashed", f"{killed} workers died in {DEATHS_SECONDS:.0f} s: a work unit may kill them"
    holds = count >= AT_LEAST or killed >= DEATHS
    return Candidate(
        limit="poison",
        subject=reason if holds else None,
        used=max(count, killed),
        waiting=count + fleet.in_hand * (killed >= DEATHS) if holds else 0,
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
    what = "everything" if first is None or first.kind == "all" else f"{first.kind} {first.subject}"
    waiting = sum(it.waiting for it in held)
    return Candidate(
        limit="paused",
        subject=(first.subject or "all") if first else None,
        used=len(view.pauses),
        waiting=waiting,
        unit="pauses",
        order=Order.NONE if first is None else Order.WORK if waiting or first.kind == "all" else Order.FAULT,
        sentence=f"An operator has paused {what}{more}",
        advice=(
            "See `notification-sender pause --list`; `resume` with the same options ends a pause before its time.",
        ),
        why_pods="they would obey the same pause",
    )


def _subject(held: Sequence[WaitCause], one: str, many: str, *, by: str = "organization") -> tuple[str | None, str]:
    """The one that most of this waits for, and how to call it in a sentence."""
    counts: dict[str, float] = {}
    for it in held:
        name = getattr(it, by) or it.organization
        counts[name] = counts.get(name, 0.0) + it.count
    first = max(counts, key=counts.__getitem__, default="")
    if first and counts[first] >= MOSTLY * sum(counts.values()):
        return first, f"{one} {first}"
    return None, f"{len(counts)} {many}"
