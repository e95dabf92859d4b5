"""Asked before any work is done for a delivery: is there a slot in the shares of its organization and destination?"""

from notification_sender.channels.hosts import STEP
from notification_sender.deliver import Deliverer
from notification_sender.model.outcome import Deferred
from notification_sender.policy.holder import UNKNOWN
from notification_sender.ports.broker import Envelope
from notification_sender.ports.clock import Clock
from notification_sender.telemetry.steps import DEFERRED
from notification_sender.worker.bulkheads import Bulkhead, share_of
from notification_sender.worker.handled import SHORT_WAIT, AskAgain
from notification_sender.worker.waiting import AT_ONCE, LONGEST_FOR_HOST, LOOK_SECONDS, Waiting, WaitingRoom

HOST_OUT = f"{DEFERRED}host_out"


class Entrance:
    """Sends into the waiting room what cannot be worked on now, as long as there is room. A parked message cannot be
    called back, and at first nobody knows how long slots are held.
    """

    def __init__(
        self,
        *,
        deliverer: Deliverer,
        organizations: Bulkhead,
        destinations: Bulkhead,
        room: WaitingRoom,
        clock: Clock,
    ) -> None:
        self._organizations = organizations
        self._deliverer = deliverer
        self._destinations = destinations
        self._room = room
        self._clock = clock
        self._failing = deliverer.failing

    def ask(
        self, envelope: Envelope, organization: str, destination: str | None, carried: object = None
    ) -> "Deferred | Waiting | AskAgain | Inside":
        """``Inside``: it may be worked on. ``destination``: the only one that it is for, if that is known. ``carried``:
        what the message says of it, if it does.
        """
        if destination is None:
            return self._full(envelope, organization) or Inside(self._organizations, organization)
        name = share_of(organization, destination)
        if (organization, destination) in self._failing and (
            place := self._of_host(envelope, name, (organization, destination), carried)
        ):
            self._pass_on(envelope, organization)
            return place
        full = None if self._organizations.is_free(organization) else self._full(envelope, organization)
        if full is None and not self._destinations.is_free(name):
            full = self._of_share(envelope, self._destinations, name, "destination_full", destination)
            if full is not None:
                self._pass_on(envelope, organization)
        return full or Inside(self._organizations, organization, self._destinations, name)

    def record_deferral(self, organization: str, *, put_off: float) -> None:
        """A notification of the organization was sent (0.0), or its limit put it off for so many seconds."""
        self._organizations.record_deferral(organization, put_off=put_off)

    def _full(self, envelope: Envelope, organization: str) -> Deferred | Waiting | None:
        return self._of_share(envelope, self._organizations, organization, "organization_full", organization)

    def _of_host(
        self, envelope: Envelope, name: str, subject: tuple[str, str], carried: object
    ) -> Waiting | AskAgain | None:
        """Without room it goes on to the host's circuit, which defers it: its address may be another one by now."""
        away = self._deliverer.away(*subject, envelope.state.age(self._clock.now()), carried)
        if not away or not self._takes(Waiting(name, HOST_OUT, longest=LONGEST_FOR_HOST), envelope):
            return None
        # One that was called, and finds that the probe is due before the next is called, may be the probe.
        soon = envelope.waiting_since is not None and away < LOOK_SECONDS
        return AskAgain(max(away, AT_ONCE), HOST_OUT) if soon else Waiting(name, HOST_OUT, STEP, LONGEST_FOR_HOST)

    def _of_share(
        self, envelope: Envelope, bulkhead: Bulkhead, name: str, reason: str, subject: str
    ) -> Deferred | Waiting | None:
        """A delivery that finds no room is parked if its share is slow, or if it has waited for long enough: asking
        again would cost a slot each time.
        """
        has_waited = envelope.waiting_since is not None
        away = bulkhead.delay_for(name, again=has_waited)
        if not away:
            return None
        place = Waiting(name, DEFERRED + reason)
        if bulkhead.awaits(name, away) and self._takes(place, envelope):
            return place
        if has_waited:
            away = bulkhead.delay_for(name)
        if has_waited or away != UNKNOWN:
            away = max(away, SHORT_WAIT)
        return Deferred(away, reason, subject)

    def _takes(self, place: Waiting, envelope: Envelope) -> bool:
        return self._room.takes(place, envelope, now=self._clock.monotonic())

    def _pass_on(self, envelope: Envelope, organization: str) -> None:
        """Where it was called for a slot of ``organization`` that it does not take now, the next one goes on."""
        if envelope.waiting_since is not None:
            self._room.call(organization, 1, now=self._clock.monotonic())


class Inside:
    """A block of work for one delivery. No generator: one of these is entered for every message."""

    __slots__ = ("_destination", "_destinations", "_entered", "_organization", "_organizations", "_ticket")

    def __init__(
        self,
        organizations: Bulkhead,
        organization: str,
        destinations: Bulkhead | None = None,
        destination: str = "",
    ) -> None:
        self._organizations = organizations
        self._organization = organization
        self._destinations = destinations
        self._destination = destination

    def __enter__(self) -> None:
        self._ticket = self._organizations.take(self._organization)
        if self._destinations is not None:
            self._entered = self._destinations.enter(self._destination)

    def __exit__(self, *_: object) -> None:
        # What a slow destination may hold is bounded by its own share: its organization need not be slow as well.
        counts = self._destinations is None or not self._destinations.is_slow(self._destination)
        self._organizations.give(self._organization, self._ticket, counts=counts)
        if self._destinations is not None:
            self._destinations.leave(self._destination, self._entered)
