"""What this process knows of a host with failures, and one notification on its way there."""

import math
from collections.abc import Awaitable
from dataclasses import dataclass, field

from notification_sender.fleet.circuit import BETWEEN_QUESTIONS, FleetCircuit
from notification_sender.model.errors import Gone, Rejected, SendFailed, Sent, SlowDown
from notification_sender.model.outcome import Receipt
from notification_sender.policy.pacing import Pacer
from notification_sender.policy.shared_host import ORGANIZATIONS
from notification_sender.telemetry.lag import lost_seconds

LONGEST_AWAY = 600.0
"""Seconds that a notification waits at most before it asks again: a backlog that asks too often is work for nothing."""

SLOW = 1.0
"""Seconds. A send that takes longer and ends without an answer costs a slot for nothing: the circuit of such a host
opens soon.
"""

BEARABLE = 300.0
"""Seconds for which a host may do nothing but fail as long as it fails quickly. That costs little, and the host may
only dislike what it was sent. Until then the retry schedule decides how often each notification is tried.
"""

LONGEST_TURN = 5
"""Times ``BETWEEN_QUESTIONS`` for which an organization waits at most for others to probe, if its own probe failed
lately or the host's circuit is open for it alone as well.
"""


@dataclass(slots=True)
class SendPermit:
    """One notification on its way to a host: to be sent now, or held back for ``away`` seconds."""

    host: str
    organization: str
    away: float = 0.0
    probe: str | None = None
    """The send is the fleet's probe: for its organization, or for all of them (``WHOLE``)."""
    circuit: FleetCircuit | None = None
    """Of the probe."""
    well: bool | None = None
    """What the send says of the host. None: nothing was sent, or it did not come to an end, for reasons of ours."""
    answered: bool = False
    """Where it is not well: the host answered all the same, with an error."""
    begun: float = 0.0
    """Monotonic, without what our own loop had lost until then, s."""
    wish: float | None = None
    """Seconds for which the host asks us to stay away."""

    async def watch(self, send: Awaitable[Receipt]) -> Receipt:
        """Await ``send``, and write down what its end says of the host."""
        try:
            receipt = await send
        except (Gone, Rejected):
            self.well = True
            raise
        except SendFailed as fault:
            # A send that did not even begin, for reasons of ours, says nothing of the host.
            self.well = None if fault.sent is Sent.NOTHING and not fault.ill else not fault.ill
            self.answered = fault.sent is Sent.ANSWERED
            raise
        except SlowDown as fault:
            self.wish = fault.seconds if fault.of_all else None
            raise
        self.well = True
        return receipt


@dataclass(slots=True)
class KnownHost:
    """A host with failures: for one organization, or for all."""

    circuit: FleetCircuit
    returns: Pacer = field(default_factory=lambda: Pacer(LONGEST_AWAY))
    failing: float | None = None
    """Since when the host does nothing but fail, monotonic, s."""
    failed_probes: dict[str, None] = field(default_factory=dict)
    """Organizations whose probe failed, the latest last."""
    told_due: float = -math.inf
    """When a notification learned before its work that a probe is due, monotonic, s."""
    first_asked: float | None = None
    """When the first organization asked for the probe that is due, monotonic, s."""

    def probe_delay(self, organization: str, now: float, *, last: bool) -> float:
        """Seconds until ``organization`` may probe, now that a probe is due. Organizations come first whose probe has
        not failed lately; ``last``: the circuit is open for this one alone as well, so it comes behind them. After a
        few seconds all may probe: the others may never come.
        """
        self.first_asked = now if self.first_asked is None else self.first_asked
        rank = LONGEST_TURN if last else self._rank(organization)
        return max(0.0, min(rank, LONGEST_TURN) * BETWEEN_QUESTIONS - (now - self.first_asked))

    def record_failed_probe(self, organization: str) -> None:
        """The probe of ``organization`` failed."""
        self.failed_probes.pop(organization, None)
        self.failed_probes[organization] = None
        if len(self.failed_probes) > ORGANIZATIONS:
            del self.failed_probes[next(iter(self.failed_probes))]

    def tolerates(self, permit: SendPermit, now: float) -> bool:
        """Whether the end of a send is no reason to open the circuit."""
        if permit.well:
            self.failing = None
            return True
        self.failing = now if self.failing is None else self.failing
        quick = permit.answered or now - lost_seconds() - permit.begun < SLOW
        return quick and now - self.failing < BEARABLE

    def _rank(self, organization: str) -> int:
        return list(self.failed_probes).index(organization) + 1 if organization in self.failed_probes else 0
