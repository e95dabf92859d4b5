"""What it means for a unit or a notification that the ledger does not give it to us."""

from typing import assert_never

from notification_sender.model.outcome import Dead, Deferred, Outcome, Suppressed
from notification_sender.ports import (
    AdmitReply,
    Busy,
    Crashed,
    Mine,
    Settled,
    Stale,
    Suspect,
    Throttled,
    Unwanted,
)


def unclaimed(reply: AdmitReply) -> Outcome:
    """What it means not to have got it, for a unit and for a notification.

    Raises:
        TypeError: we have got it, or it was not answered yet.
    """
    match reply:
        case Crashed():
            return Dead("crashed", "its workers died with it, five in a row")
        case Busy(delay):
            # Never over before it is parked: whoever holds it may die with it.
            return Deferred(delay, "claimed_elsewhere")
        case Throttled(delay, limit):
            return Deferred(delay, f"throttled:{limit}")
        case Unwanted(reason):
            return Suppressed(reason)
        case Settled(state):
            return Suppressed(f"already_{state}", recorded=True)
        case Stale():
            return Suppressed("stale", recorded=True)
        case Mine() | Suspect():
            raise TypeError("it is ours, or may be asked for once more")
        case _:
            assert_never(reply)
