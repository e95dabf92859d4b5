"""What becomes of a delivery that was handled: it is settled, or it is handled again."""

from collections.abc import Awaitable, Callable

from notification_sender.model.records import dataclass
from notification_sender.ports.broker import Envelope
from notification_sender.telemetry.steps import QUEUE_WAIT
from notification_sender.worker.waiting import Waiting

SHORT_WAIT = 1.0
"""Seconds. A delivery that waits less is kept and gives its slot back; one that waits longer is parked."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The outcome of the delivery is durable: it may be acked."""


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Nothing is settled. The delivery gives its slot back and is handled again in ``delay`` seconds."""

    delay: float
    step: str = QUEUE_WAIT
    """In which it waits."""


SETTLED = Settled()

Handler = Callable[[Envelope], Awaitable[Settled | AskAgain | Waiting]]
"""Handles one delivery."""
