"""What deliveries wait for, or die of: a throttle, a destination, a template, a file, a pause, poison."""

from notification_sender.policy.candidates import AT_LEAST, Candidate, Order
from notification_sender.policy.fleet_view import Fleet, FleetView, is_replaced
from notification_sender.policy.most import destination_of, most
from notification_sender.policy.words import counted

DESTINATION_PART = 0.02
"""Part of the deliveries that a destination must hold up. Some destination of some customer always fails."""

DESTINATION_REASONS = {"host_out", "sender_rejected", "failed"}
FILE_REASONS = {"secret_missing": "secret", "ca_missing": "secret"}
POISON_REASONS = {"malformed", "schema", "crashed", "too_large", "tenant_mismatch", "subject_not_found", "unroutable"}
DEATHS, DEATHS_SECONDS = 2, 120.0
"""Workers that ended without a goodbye, and were replaced: a unit that kills its worker comes back four times."""

HOLD = "retry_after"
"""The limit of a destination that asked for time."""


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
    if first.name is None:  # several organizations may have the same one
        first = most(held, lambda it: it.subject)
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
