"""What the heart needs from the world, in its own words. Adapters fulfil these; no foreign exception crosses them.

Everything that can be away raises ``Unready``; times are seconds, epoch times are seconds since 1970 (UTC).
"""

from notification_sender.ports.broker import DeadLetter, Envelope, Events, Intake, Lane, Outbox, Parked
from notification_sender.ports.channels import Begin, Channel, Holding
from notification_sender.ports.facts import Fleet, Keep, Look, News, Platform, Share, Shelf
from notification_sender.ports.ledger import (
    HOLD,
    AdmitReply,
    Ask,
    Busy,
    Claim,
    ClaimReply,
    Crashed,
    Final,
    Key,
    Ledger,
    Mine,
    Rollcall,
    Settled,
    Stale,
    State,
    Throttled,
    Tried,
    Turn,
    Unwanted,
    Written,
)
from notification_sender.ports.time import Clock, Dice

__all__ = [
    "HOLD",
    "AdmitReply",
    "Ask",
    "Begin",
    "Busy",
    "Channel",
    "Claim",
    "ClaimReply",
    "Clock",
    "Crashed",
    "DeadLetter",
    "Dice",
    "Envelope",
    "Events",
    "Final",
    "Fleet",
    "Holding",
    "Intake",
    "Keep",
    "Key",
    "Lane",
    "Ledger",
    "Look",
    "Mine",
    "News",
    "Outbox",
    "Parked",
    "Platform",
    "Rollcall",
    "Settled",
    "Share",
    "Shelf",
    "Stale",
    "State",
    "Throttled",
    "Tried",
    "Turn",
    "Unwanted",
    "Written",
]
