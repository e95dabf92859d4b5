"""What an onlooker writes down who sees everything: who sends what under which claim, and how each of these ended."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from notification_sender.policy.limits import Limit
from notification_sender.ports.ledger import AdmissionRequest, Claim, TerminalState

if TYPE_CHECKING:
    from tests.simulation.pod import Pod


@dataclass(slots=True, eq=False)
class Sending:
    """One time that the store said yes to the last look. Seconds of the world."""

    pod: "Pod"
    claim: Claim
    began: float
    attempt: int = 0
    life: int = 0
    """In which of its replays."""
    started: float | None = None
    """When bytes left; None while none did."""
    accepted: float | None = None
    ended: float | None = None
    held: bool = False
    """Where it may have arrived, it is not to be repeated."""
    free: bool = False
    """No attempt was used."""
    settled: float | None = None
    """When the store was told how it ended."""
    why: list[str] = field(default_factory=list)
    """What happened to it that may lead to another one: killed, frozen, unknown, unready, stopped."""

    @property
    def name(self) -> str:
        return self.claim.key.id

    @property
    def number(self) -> tuple[int, int]:
        return self.life, self.attempt

    def excuses(self, later: "Sending") -> list[str]:
        """What may have led to ``later``. What the store knew before excuses nothing but that an end is unknown."""
        known = self.settled is not None and self.settled <= later.began
        return [it for it in self.why if it == "unknown"] if known else self.why


@dataclass(slots=True, eq=False)
class Burial:
    """One dead letter that the broker took. The store is told after it, so that none is lost."""

    pod: "Pod"
    name: str
    why: list[str] = field(default_factory=list)
    """What happened to its worker before the store was told: another copy may then come to another end."""


class Observer:
    """``wrong``: what must never happen and did, and of which id."""

    def __init__(self) -> None:
        self.sendings: dict[str, list[Sending]] = defaultdict(list)
        self.burials: dict[str, list[Burial]] = defaultdict(list)
        self.delivered: dict[str, float] = {}
        self.admitted: dict[tuple[str, Limit], list[float]] = defaultdict(list)
        self.unknown: dict[str, int] = {}
        """Of channels that do not repeat what may have arrived: what may have, and in which of its lives."""
        self.wrong: list[tuple[str, str]] = []
        self._lives: dict[tuple[str, int], int] = {}
        """By claim."""
        self._settling: dict[Claim, list[Sending]] = defaultdict(list)
        self._burying: list[Burial] = []
        """Those of which the store was not told yet."""

    def admits(self, claim: Claim, ask: AdmissionRequest, at: float) -> None:
        """The store let it pass; asked again under the same claim nothing is spent."""
        if (claim.key.id, claim.fence) in self._lives:
            return
        self._lives[claim.key.id, claim.fence] = ask.replays
        for limit in ask.limits:
            self.admitted[claim.key.organization_id, limit].append(at)

    def begins(self, sending: Sending) -> None:
        self._settling[sending.claim].append(sending)
        self.sendings[sending.name].append(sending)
        sending.life = self._lives[sending.name, sending.claim.fence]
        if sending.name in self.delivered:
            self._says(sending, "may be sent although it is recorded as delivered")

    def starts(self, sending: Sending, attempt: int, at: float, *, held: bool) -> None:
        """Bytes leave."""
        sending.started, sending.attempt, sending.held = at, attempt, held
        if sending.life == self.unknown.get(sending.name):
            self._says(sending, "sent again although it may have arrived")
        for other in self.sendings[sending.name]:
            if other is not sending and other.started is not None:
                self._compare(other, sending)

    def settles(self, claim: Claim, final: TerminalState | None, at: float) -> None:
        """The store was told how it ended, and took it."""
        for sending in self._settling[claim]:
            sending.settled = sending.settled or at
            if sending in sending.pod.open:
                sending.pod.open.remove(sending)
        if final is not None and final.state == "delivered":
            self.delivered[claim.key.id] = at

    def buries(self, pod: "Pod", name: str) -> None:
        """The broker took a dead letter."""
        burial = Burial(pod, name)
        self.burials[name].append(burial)
        self._burying.append(burial)

    def records(self, pod: "Pod", name: str) -> None:
        """The store was told of an end."""
        self._burying = [it for it in self._burying if (it.pod, it.name) != (pod, name)]

    def ends(self, pod: "Pod", how: str, at: float) -> None:
        """Of a worker, and of all that it was sending."""
        self.happens(pod, how)
        for sending in pod.open:
            if sending.started is not None and sending.ended is None and sending.held:
                self.unknown[sending.name] = sending.life
            sending.ended = sending.ended or at

    def happens(self, pod: "Pod", what: str, name: str = "") -> None:
        """To all that ``pod`` has begun to send or buried and the store knows no end of, or to the one of that name."""
        for sending in pod.open:
            if not name or sending.name == name:
                sending.why.append(what)
        for burial in self._burying:
            if burial.pod is pod and name in {"", burial.name}:
                burial.why.append(what)

    def _compare(self, before: Sending, now: Sending) -> None:
        frozen = "frozen" in before.why or "frozen" in now.why
        if before.ended is None and not frozen:
            self._says(now, f"sent by {now.pod.name} while {before.pod.name} sends it")
        if before.number > now.number and not frozen:
            self._says(now, f"attempt {now.number} after attempt {before.number}")
        same = before.number == now.number and before.claim != now.claim
        if same and not (before.free or before.excuses(now) or frozen):
            self._says(now, f"attempt {now.number} a second time, and the first came to a known end")

    def _says(self, sending: Sending, what: str) -> None:
        self.wrong.append((sending.name, what))
