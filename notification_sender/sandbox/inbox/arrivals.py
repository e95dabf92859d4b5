"""The list of the inbox page: webhooks and emails together, the newest first, limited by a filter."""

from binascii import a2b_qp
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import orjson

from notification_sender.sandbox.inbox.inbox import Inbox, ReceivedWebhook
from notification_sender.sandbox.inbox.mailbox import ReceivedEmail
from notification_sender.sandbox.inbox.reading import readable
from notification_sender.sandbox.platform.records import Record
from notification_sender.sandbox.platform.world import World

HINT = 160
"""Characters of a body that the list shows if the body has no better title."""

Channel = Literal["webhook", "email"]


@dataclass(frozen=True)
class Arrival:
    """One line of the list. ``number``, its place among the arrivals of its channel, starts at 0 and never changes."""

    number: int
    organization: str
    destination: str

    channel: Channel
    arrived: float
    notification_id: str
    problem: str | None
    """The fault of its signature; None: the signature is valid."""
    answered: str
    accepted: bool

    @property
    def path(self) -> str:
        """The address of its page."""
        return f"/{self.channel}s/{self.number}"

    @property
    def signed(self) -> bool:
        """An email carries no signature that the inbox could check."""
        return self.channel == "webhook"

    @property
    def verified(self) -> bool:
        return self.signed and self.problem is None

    @property
    def title(self) -> str:
        raise NotImplementedError

    @property
    def hint(self) -> str:
        """A second line that distinguishes similar arrivals."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """The text that a search covers."""
        raise NotImplementedError


@dataclass(frozen=True)
class WebhookArrival(Arrival):
    post: ReceivedWebhook

    @cached_property
    def _body(self) -> Record:
        try:
            body = orjson.loads(self.post.body)
        except orjson.JSONDecodeError:
            return {}
        return body if isinstance(body, dict) else {}

    @property
    def title(self) -> str:
        return str(self._body.get("type") or "A webhook without a type")

    @property
    def hint(self) -> str:
        subject = _at(self._body, "data", "incident") or _at(self._body, "data", "intel_request")
        known = (_at(subject, "incident_id") or _at(subject, "intel_request_id"), _at(subject, "location", "address"))
        return " · ".join(str(it) for it in known if it) or self.text[:HINT]

    @property
    def text(self) -> str:
        return self.post.body.decode(errors="replace")


@dataclass(frozen=True)
class EmailArrival(Arrival):
    letter: ReceivedEmail

    @property
    def title(self) -> str:
        return readable(self.letter.headers["Subject"]) or "An email without a subject"

    @property
    def hint(self) -> str:
        return ", ".join(self.letter.recipients)

    @property
    def text(self) -> str:
        """The source with quoted-printable decoded. Base64 parts are not searched."""
        return f"{self.title}\n{a2b_qp(self.letter.raw).decode(errors='replace')}"


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects arrivals of the list. An empty field selects all. The fields are the query parameters of the page."""

    q: str = ""
    channel: str = ""
    organization: str = ""
    destination: str = ""
    check: str = ""
    """``verified`` or ``unverified``; both select webhooks only."""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Filter":
        return cls(**{name: query.get(name, "").strip() for name in cls.__slots__})

    def wants(self, arrival: Arrival) -> bool:
        return (
            self.channel in ("", arrival.channel)
            and self.organization in ("", arrival.organization)
            and self.destination in ("", arrival.destination)
            and self._checked(arrival)
            and self._found(arrival)
        )

    def _checked(self, arrival: Arrival) -> bool:
        return not self.check or (arrival.signed and arrival.verified is (self.check == "verified"))

    def _found(self, arrival: Arrival) -> bool:
        wanted = self.q.casefold()
        names = (arrival.notification_id, arrival.organization, arrival.destination)
        return not wanted or any(wanted in text.casefold() for text in (*names, arrival.text))


def arrivals(inbox: Inbox, world: World) -> list[Arrival]:
    """Return all arrivals, the newest first."""
    owners = _owners(world)
    both: list[Arrival] = [*_webhooks(inbox.webhooks, owners), *_emails(inbox.emails, owners)]
    return sorted(both, key=lambda it: it.arrived, reverse=True)


def _webhooks(posts: Iterable[ReceivedWebhook], owners: Mapping[str, tuple[str, str]]) -> Iterator[WebhookArrival]:
    for number, post in enumerate(posts):
        destination, organization = owners.get(post.destination_id, (post.destination_id, ""))
        yield WebhookArrival(
            number=number,
            organization=organization,
            destination=destination,
            channel="webhook",
            arrived=post.arrived,
            notification_id=post.notification_id,
            problem=post.problem,
            answered=str(post.answered),
            accepted=post.accepted,
            post=post,
        )


def _emails(letters: Iterable[ReceivedEmail], owners: Mapping[str, tuple[str, str]]) -> Iterator[EmailArrival]:
    for number, letter in enumerate(letters):
        to = letter.recipients[0] if letter.recipients else ""
        destination, organization = owners.get(to, (to, ""))
        yield EmailArrival(
            number=number,
            organization=organization,
            destination=destination,
            channel="email",
            arrived=letter.arrived,
            notification_id=letter.notification_id,
            problem=None,
            answered="250",
            accepted=True,
            letter=letter,
        )


def _owners(world: World) -> dict[str, tuple[str, str]]:
    """Return destination id and organization, by destination id and by mail address."""
    return {
        name: (destination["destination_id"], organization_id)
        for organization_id, organization in world.organizations.items()
        for destination in organization["destinations"]
        for name in (destination["destination_id"], destination.get("to"))
        if name
    }


def _at(value: object, *path: str) -> object:
    """Return the value at a path in nested objects, or None."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
