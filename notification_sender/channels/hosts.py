"""The circuits of recipients' hosts, for the whole fleet. While one is open, one notification is sent to find out.

A circuit is for one organization, by the ends of its own sends to the host. Another one is for all organizations: it
opens where several fail at the host and no send goes well.
"""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from notification_sender.channels.known_host import LONGEST_AWAY, KnownHost, SendPermit
from notification_sender.fleet.background import BackgroundTasks
from notification_sender.fleet.circuit import BETWEEN_QUESTIONS, Change, CircuitKind, FleetCircuit
from notification_sender.model.override import OPEN, Override
from notification_sender.policy.breaker import HOST
from notification_sender.policy.shared_host import SharedHost
from notification_sender.ports.clock import Clock, Dice
from notification_sender.ports.fleet import Fleet, OpenCircuit, PubSub
from notification_sender.telemetry.lag import lost_seconds

TOPIC = "hosts"
"""Of the messages that a circuit of a host opened or closed."""

STEP = 0.02
"""Seconds between two notifications that come back to a host: the backlog must not overload it again."""

PART_OF_AGE, LONGEST_PART = 1 / 2, 15.0
"""A notification that is deferred comes back when the host has been out for half as long again, or in so many seconds.
So it comes back a few times in the first minute, and four times a minute after that.
"""

WHOLE = "*"
"""In place of an organization: all of them. No organization may have this id."""

MOST = 4000
"""Hosts with failures that are remembered, by organization: about 8 MB."""

PROVEN = 4000
"""Hosts for which a successful send of some organization is remembered."""

NOBODY = "."
"""In place of an organization, in a message that no failed probe caused."""

LISTED = 20
"""Hosts that ``summary`` names."""

Key = tuple[str, str]
"""A host, and an organization or ``WHOLE``."""


class Hosts:
    """The circuits of recipients' hosts. Only hosts with failures are remembered. ``timeout``: seconds that a probe
    may take.
    """

    def __init__(self, *, fleet: Fleet, pubsub: PubSub, clock: Clock, dice: Dice, timeout: float) -> None:
        self._pubsub = pubsub
        self._clock = clock
        self._dice = dice
        self._kind = CircuitKind("host", HOST, fleet, clock, dice, probe_timeout=timeout)
        self._hosts: OrderedDict[Key, KnownHost] = OrderedDict()
        self._shared: OrderedDict[str, SharedHost] = OrderedDict()
        self._forced: dict[Key, Override] = {}
        self._background = BackgroundTasks()
        """Tells the fleet. Between a send and its record nothing may be awaited."""
        pubsub.subscribe(TOPIC, self._on_message)

    @property
    def out(self) -> int:
        """How many circuits are open; a host counts for each organization, and once more for all of them."""
        return sum(known.circuit.is_open for known in self._hosts.values())

    def summary(self) -> list[dict[str, Any]]:
        """The hosts whose circuit is open, for people: ``LISTED`` at most."""
        out = ((key, it.circuit, it.circuit.since) for key, it in self._hosts.items() if it.circuit.since is not None)
        return [
            {
                "host": host,
                "organization": None if owner == WHOLE else owner,
                "since": datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds"),
                "probe_in": round(circuit.probe_in, 1),
            }
            for (host, owner), circuit, since in islice(out, LISTED)
        ]

    def is_out(self, host: str, organization: str) -> bool:
        """Whether the circuit is open, for this organization or for all."""
        return self._open(host, organization) is not None

    def away(self, host: str, organization: str) -> float:
        """Seconds until a probe is due, as far as this process knows; 0.0 if it is due, or the host is not out.

        Only one caller a second learns that it is due: one is enough.
        """
        known = self._open(host, organization)
        if known is None:
            return 0.0
        now = self._clock.monotonic()
        if known.circuit.is_probing or (known.circuit.is_due and now - known.told_due < BETWEEN_QUESTIONS):
            return BETWEEN_QUESTIONS
        if known.circuit.is_due:
            known.told_due = now
        return known.circuit.probe_in

    def _open(self, host: str, organization: str) -> KnownHost | None:
        for owner in (WHOLE, organization):
            known, forced = self._hosts.get((host, owner)), self._forced.get((host, owner))
            if known is not None and known.circuit.is_open and (forced is None or forced.value == OPEN):
                return known
        return None

    def force(self, overrides: Sequence[Override]) -> None:
        """Keep circuits open or closed as these overrides say, and no others. Sends are judged all the same: their
        judgement holds again afterwards.
        """
        subjects = ((it.subject.split("/"), it) for it in overrides if it.kind == "circuit")
        self._forced = {(words[2], words[1]): it for words, it in subjects if words[0] == "host" and len(words) == 3}  # noqa: PLR2004 - host/organization/name

    def open_circuits(self) -> list[OpenCircuit]:
        """The circuits that opened by themselves."""
        known = ((key, it.circuit, it.circuit.since) for key, it in self._hosts.items())
        return [
            OpenCircuit(f"host/{owner}/{host}", since, circuit.probe_in)
            for (host, owner), circuit, since in known
            if since is not None
        ]

    async def acquire(self, host: str, organization: str) -> SendPermit:
        """Ask before anything is spent on a send. The caller releases the permit; if it is not ``away``, the caller
        writes down before how the send went.
        """
        now = self._clock.monotonic()
        permit = SendPermit(host, organization, begun=now - lost_seconds())
        for owner in (WHOLE, organization):
            known = self._hosts.get((host, owner))
            if self._forced and (forced := self._forced.get((host, owner))):
                if forced.value == OPEN:
                    permit.away = min(max(forced.until - self._clock.now(), STEP), LONGEST_AWAY)
                    return permit
                continue
            if known is None or not known.circuit.is_open:
                continue
            circuit = known.circuit
            probe_delay = self._probe_delay(known, permit, owner, now) if circuit.is_due else 0.0
            if not probe_delay and await circuit.acquire_probe():
                permit.probe, permit.circuit = owner, circuit
                return permit
            opens = now + (probe_delay or max(circuit.probe_in, min(PART_OF_AGE * circuit.age, LONGEST_PART)))
            permit.away = known.returns.next_delay(STEP, now=now, dice=self._dice(), opens=opens)
            return permit
        return permit

    def release(self, permit: SendPermit) -> None:
        """The send has ended, or did not come about."""
        if permit.wish is not None:
            self._publish_change(Change("asked", permit.wish), (permit.host, WHOLE))
        elif permit.well is not None:
            self._judge(permit)
        if permit.circuit is not None:
            self._background.start(permit.circuit.release_probe())

    async def close(self) -> None:
        """Tell the fleet nothing any more."""
        await self._background.close()

    def _probe_delay(self, known: KnownHost, permit: SendPermit, owner: str, now: float) -> float:
        if owner != WHOLE:
            return 0.0
        own = self._hosts.get((permit.host, permit.organization))
        return known.probe_delay(permit.organization, now, last=own is not None and own.circuit.is_open)

    def _judge(self, permit: SendPermit) -> None:
        now = self._clock.monotonic()
        key = (permit.host, WHOLE)
        whole = self._hosts.get(key)
        if permit.well:
            self._of(permit.host).succeeded(now)
            if whole is not None and not whole.circuit.asked and permit.probe != WHOLE:
                self._publish_change(Change("well", 0.0), key)
        failed = self._judge_own(permit, now)
        if whole is not None and permit.probe == WHOLE:
            well = whole.tolerates(permit, now)
            change = whole.circuit.judge(well=well, conclusive=True)
            self._publish_change(change, key, by=NOBODY if well else permit.organization)
        elif failed and self._of(permit.host).failed(permit.organization, now) and whole is None:
            self._publish_change(self._known(key).circuit.open(), key)

    def _judge_own(self, permit: SendPermit, now: float) -> bool:
        """Judge the circuit of one organization by its send. Whether this one speaks against the host."""
        key = (permit.host, permit.organization)
        if permit.well and key not in self._hosts:
            return False
        known = self._known(key)
        well = known.tolerates(permit, now)
        conclusive = known.circuit.is_open and bool(permit.well or permit.probe)
        change = known.circuit.judge(well=well, conclusive=conclusive)
        self._publish_change(change, key)
        if change is None and known.circuit.has_no_failures and known.failing is None:
            del self._hosts[key]
        return not well

    def _known(self, key: Key) -> KnownHost:
        known = self._hosts.get(key)
        if known is None:
            known = self._hosts[key] = KnownHost(FleetCircuit(_name(key), self._kind, _names(key)))
        self._hosts.move_to_end(key)
        if len(self._hosts) > MOST:
            # The hosts of an organization with thousands of dead ones must not displace those of others.
            [(most, _)] = Counter(owner for _, owner in self._hosts).most_common(1)
            del self._hosts[next(key for key in self._hosts if key[1] == most)]
        return known

    def _of(self, host: str) -> SharedHost:
        shared = self._shared.get(host)
        if shared is None:
            shared = self._shared[host] = SharedHost()
        self._shared.move_to_end(host)
        if len(self._shared) > PROVEN:
            self._shared.popitem(last=False)
        return shared

    def _publish_change(self, change: Change | None, key: Key, by: str = NOBODY) -> None:
        if change is None:
            return
        self._apply(change, key, by)
        host, owner = key
        text = f"{change.state} {round(1000 * change.seconds)} {owner} {by} {host}"
        self._background.start(self._pubsub.publish(TOPIC, text))

    def _on_message(self, text: str) -> None:
        match text.split(" ", 4):
            case ["out", _, owner, _, host] if owner == WHOLE and self._of(host).proven(self._clock.monotonic()):
                self._publish_change(Change("well", 0.0), (host, WHOLE))  # somebody's send went well in this process
            case ["out" | "asked" | "well" as state, ms, owner, by, host] if ms.isdecimal():
                self._apply(Change(state, int(ms) / 1000), (host, owner), by)

    def _apply(self, change: Change, key: Key, by: str) -> None:
        if change.state == "well":
            self._apply_closed(change, key)
            return
        known = self._known(key)
        known.first_asked = None
        known.circuit.apply(change)
        if by != NOBODY:
            known.record_failed_probe(by)

    def _apply_closed(self, change: Change, key: Key) -> None:
        known = self._hosts.pop(key, None)
        if known is None:
            return
        known.circuit.apply(change)
        host, owner = key
        if owner == WHOLE:
            self._of(host).forget()
            # The circuits of single organizations: they may be well again, too.
            for (name, _), other in self._hosts.items():
                if name == host and other.circuit.is_open:
                    other.circuit.make_probe_due()


def _names(key: Key) -> dict[str, str]:
    """The fields of a log line. Without an organization: all of them."""
    host, owner = key
    return {"host": host} if owner == WHOLE else {"host": host, "organization": owner}


def _name(key: Key) -> str:
    """The name of the circuit in the fleet, beside the APIs'. Neither a host nor an id holds a slash."""
    host, owner = key
    return f"host:{owner}/{host}"
