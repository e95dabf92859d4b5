"""How many deliveries of a lane a process takes."""

from notification_sender.ports.broker import Lane

MOST_UNSETTLED = 2000
"""Unsettled deliveries that a quorum queue allows one consumer."""

RESTING = 200
"""Notifications taken in addition: those out of the ladder may wait for a second, and must keep no other out."""


def prefetch(lane: Lane, taken: int) -> int:
    """How many deliveries of ``lane`` may be in hand, where ``taken`` may wait for a slot or have one."""
    return min(taken + (RESTING if lane is Lane.NOTIFICATIONS else 0), MOST_UNSETTLED)
