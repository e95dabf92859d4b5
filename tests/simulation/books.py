"""What an onlooker writes down who sees everything: who sends what under which claim, and how each of these ended."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from notification_sender.policy.limits import Limit
from notification_sender.ports import Claim, Final

if TYPE_CHECKING:
    from tests.simulation.pod import Pod


@dataclass(slots=True, eq=False)
class Sending:
    """One time that the store said yes to the last look. Seconds of the world."""

    pod: "Pod"
    claim: Claim
    began: float
    attempt: int = 0
    started: float | None = None
    """When bytes left; None while none did."""
    accepted: float | None = None
    ended: float | None = None
    free: bool = False
    """No attempt was used."""
    settled: float | None = None
    """When the store was told how it ended."""
    why: list[str] = field(default_factory=list)
    """What happened to it that may lead to another one: killed, frozen, unknown, unready, stopped."""

    @property
    def name(self) -> str:
        return self.claim.key.id


class Books:
    """``wrong``: what must never happen and did, and of which id."""

    def __init__(self) -> None:
        self.sendings: dict[str, list[Sending]] = defaultdict(list)
        self.delivered: dict[str, float] = {}
        self.admitted: dict[tuple[str, Limit], list[float]] = defaultdict(list)
        self.unknown: set[str] = set()
        """Of channels that do not repeat what may have arrived: what may have."""
        self.wrong: list[tuple[str, str]] = []
        self._claims: set[tuple[str, int]] = set()
        self._settling: dict[Claim, list[Sending]] = defaultdict(list)

    def admits(self, claim: Claim, limits: list[Limit], at: float) -> None:
        """The store let it pass; asked again under the same claim nothing is spent."""
        if (claim.key.id, claim.fence) in self._claims:
            return
        self._claims.add((claim.key.id, claim.fence))
        for limit in limits:
            self.admitted[claim.key.organization_id, limit].append(at)

    def begins(self, sending: Sending) -> None:
        self._settling[sending.claim].append(sending)
        self.sendings[sending.name].append(sending)
        if sending.name in self.delivered:
            self._says(sending, "may be sent although it is recorded as delivered")

    def starts(self, sending: Sending, attempt: int, at: float) -> None:
        """Bytes leave."""
        sending.started, sending.attempt = at, attempt
        for other in self.sendings[sending.name]:
            if other is not sending and other.started is not None:
                self._compare(other, sending)

    def settles(self, claim: Claim, final: Final | None, at: float) -> None:
        """The store was told how it ended, and took it."""
        for sending in self._settling[claim]:
            sending.settled = sending.settled or at
            if sending in sending.pod.open:
                sending.pod.open.remove(sending)
        if final is not None and final.state == "delivered":
            self.delivered[claim.key.id] = at

    def happens(self, pod: "Pod", what: str, name: str = "") -> None:
        """To all that ``pod`` has begun to send and the store knows no end of, or to the one of that name."""
        for sending in pod.open:
            if not name or sending.name == name:
                sending.why.append(what)

    def _compare(self, before: Sending, now: Sending) -> None:
        frozen = "frozen" in before.why or "frozen" in now.why
        if before.ended is None and not frozen:
            self._says(now, f"sent by {now.pod.name} while {before.pod.name} sends it")
        if before.attempt > now.attempt and not frozen:
            self._says(now, f"attempt {now.attempt} after attempt {before.attempt}")
        same = before.attempt == now.attempt and before.claim != now.claim
        if same and not (before.free or before.why or frozen):
            self._says(now, f"attempt {now.attempt} a second time, and the first came to a known end")

    def _says(self, sending: Sending, what: str) -> None:
        self.wrong.append((sending.name, what))
