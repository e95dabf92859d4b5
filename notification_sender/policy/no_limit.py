"""The words where no figure is a limit: nothing arrives, nothing waits, or much waits and no figure says why."""

from notification_sender.model.process_report import WINDOW
from notification_sender.policy.candidates import Candidate, Limit, Order
from notification_sender.policy.fleet_view import Fleet, FleetView
from notification_sender.policy.flow import Flow
from notification_sender.policy.words import counted

YOUNG = 0.75 * WINDOW
"""Seconds. Figures of a shorter window do not show a limit yet."""

FREE = 0.5
"""Part of the slots. With fewer in use the workers are not what the messages wait for."""


def no_limit(view: FleetView, fleet: Fleet, flowing: Flow) -> Candidate:
    """The first candidate where none of the others holds."""
    if fleet.behind or fleet.behind_retries:
        return _unknown(fleet, flowing)
    if not fleet.arrived and not (view.depths and view.depths[-1].units):
        said = f"Nothing arrives: no work unit came in the last {fleet.window:.0f} s{_later(flowing)}"
        return _none("no_arrivals", fleet, said, ("Look at the publishers, and at NS_UNITS_QUEUE.",))
    rate = counted(round(60 * fleet.delivered / fleet.window), "delivery", "deliveries")
    waits = "" if flowing.no_depths else f", and {_waiting(flowing)}"
    said = f"Nothing limits the fleet: {rate} a minute{waits}"
    return _none("idle", fleet, said, ())


def _none(limit: Limit, fleet: Fleet, sentence: str, advice: tuple[str, ...]) -> Candidate:
    unknown = limit == "unknown"
    return Candidate(
        limit=limit,
        used=fleet.arrived,
        unit="work units",
        order=Order.NONE,
        sentence=sentence,
        advice=advice,
        more_pods_help=None if unknown else False,
        why_pods="" if unknown else "nothing waits for a slot",
    )


def _later(flowing: Flow) -> str:
    return f", and {_waiting(flowing)} for the next attempt" if flowing.waiting else ""


def _waiting(flowing: Flow) -> str:
    return counted(flowing.waiting, "message waits", "messages wait")


def _unknown(fleet: Fleet, flowing: Flow) -> Candidate:
    reason, advice = _reason(fleet)
    drained = flowing.drained_per_min or 0.0
    trend = f", {abs(drained):.0f} {'fewer' if drained > 0 else 'more'} each minute" if drained else ""
    return _none("unknown", fleet, f"Unknown: {_waiting(flowing)}{trend}, and {reason}", (advice,))


def _reason(fleet: Fleet) -> tuple[str, str]:
    """Why nothing can be named, and what to do about that."""
    if fleet.window < YOUNG:
        said = f"the processes are too young: their figures are of {fleet.window:.0f} s"
        return said, f"Ask again in {WINDOW - fleet.window:.0f} s."
    if not fleet.behind:
        most = next(iter(fleet.held), None)
        known = f": most of them for `{most.reason}` ({most.subject or most.organization})" if most else ""
        said = f"all but {fleet.ready} of them wait for their next attempt{known}"
        return said, "`notification-sender destinations list` says why; `notification-sender retry` sends them now."
    used = fleet.busy / fleet.slots if fleet.slots else 0.0
    if used < FREE:
        said = f"only {used:.0%} of the slots are in use: the workers do not get the messages from RabbitMQ"
        return (
            said,
            "Look at the consumers of the queues: `rabbitmqctl list_consumers`; and run `notification-sender check`.",
        )
    said = f"{used:.0%} of the slots are in use, while no API, limit, destination or processor is at its limit"
    return said, "Look at `notification-sender top` for the step that takes longest; ask again in 40 s."
