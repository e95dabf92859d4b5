"""The inbox: the recipients of a simulated world. It receives webhooks and emails, checks them and keeps them."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiohttp import web

from notification_sender.sandbox.behaviour import Answer, Behaviour, Signal
from notification_sender.sandbox.inbox.keys import signing_key
from notification_sender.sandbox.inbox.mailbox import Mailbox, ReceivedEmail
from notification_sender.sandbox.inbox.verification import problem
from notification_sender.sandbox.serving import HOST, Server, leave_unanswered

UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True)
class ReceivedWebhook:
    """One webhook that was received. ``arrived`` is in seconds since the epoch; ``headers`` are in order."""

    destination_id: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    arrived: float
    answered: Answer
    problem: str | None
    """The fault of its signature; None: the signature is valid."""

    @property
    def notification_id(self) -> str:
        return next((value for name, value in self.headers if name.lower() == "webhook-id"), "")

    @property
    def accepted(self) -> bool:
        return isinstance(self.answered, int) and 200 <= self.answered < 300  # noqa: PLR2004 - HTTP's own border


class Inbox:
    """Receives notifications: ``async with Inbox() as inbox: inbox.webhook_url("hook-x"), inbox.smtp_url``.

    ``behaviours`` has the settings of each destination, by its id or mail address:
    ``inbox.behaviours["hook-x"].script.extend([500, "hang", 200])``. An invalid signature is kept as a ``problem`` and
    does not change the answer: a retry would hide it.
    """

    def __init__(self, *, http_port: int = 0, smtp_port: int = 0, host: str = HOST) -> None:
        self.behaviours: defaultdict[str, Behaviour] = defaultdict(Behaviour)
        self.keys: dict[str, list[str]] = {}
        """``whsec_`` keys by destination, in place of the sandbox's own keys."""
        self.admits: Callable[[str, str | None], bool] = lambda _destination_id, _authorization: True
        """Whether a destination accepts a request with this ``Authorization``. If not, it answers 401."""
        self.webhooks: list[ReceivedWebhook] = []
        """Every webhook that was read, in order."""
        self.emails: list[ReceivedEmail] = []
        """Every email that was accepted."""
        self.accepted: Counter[str] = Counter()
        """How often each notification was accepted, by its id."""
        self.mailbox = Mailbox(self.behaviours.__getitem__, self._record_email, smtp_port, host)
        self._server = Server([("POST", "/hooks/{destination_id}", self._hook)], http_port, host)
        self._changed = Signal()

    @property
    def smtp_url(self) -> str:
        """The value for ``NS_SMTP_URL``."""
        return self.mailbox.url

    @property
    def duplicates(self) -> int:
        """The number of repeated acceptances: each acceptance of a notification after its first counts."""
        return sum(times - 1 for times in self.accepted.values())

    @property
    def unverified(self) -> list[ReceivedWebhook]:
        return [post for post in self.webhooks if post.problem]

    def webhook_url(self, destination_id: str) -> str:
        """The URL of this destination. It is known once the inbox has started."""
        return f"{self._server.url}/hooks/{destination_id}"

    async def accepts(self, notifications: int) -> None:
        """Wait until this number of different notifications was accepted. The caller sets the deadline."""
        while len(self.accepted) < notifications:
            await self._changed.wait()

    async def receives(self, posts: int) -> None:
        """Wait until this number of webhooks was read, whatever the answers were."""
        while len(self.webhooks) < posts:
            await self._changed.wait()

    async def __aenter__(self) -> Self:
        await asyncio.gather(self._server.start(), self.mailbox.start())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(self._server.stop(), self.mailbox.stop())

    async def _hook(self, request: web.Request) -> web.StreamResponse:
        destination_id = request.match_info["destination_id"]
        arrived, body = time.time(), await request.read()
        behaviour = self.behaviours[destination_id]
        async with behaviour.call() as said:
            if not self.admits(destination_id, request.headers.get("authorization")):
                said = UNAUTHORIZED  # noqa: PLW2901 - a refused request gets no other answer
            answered = said or web.HTTPOk.status_code
            self._record_webhook(request, body, arrived, answered)
            if answered == "hang" or answered == "close":  # noqa: PLR1714 - the type checker follows this form
                return await leave_unanswered(request, answered)
            return web.Response(status=answered, body=behaviour.body, headers=behaviour.headers)

    def _record_webhook(self, request: web.Request, body: bytes, arrived: float, answered: Answer) -> None:
        destination_id = request.match_info["destination_id"]
        keys = self.keys.get(destination_id) or [signing_key(destination_id)]
        post = ReceivedWebhook(
            destination_id=destination_id,
            headers=tuple(request.headers.items()),
            body=body,
            arrived=arrived,
            answered=answered,
            problem=problem(request.headers, body, keys, time.time()),
        )
        self.webhooks.append(post)
        if post.accepted:
            self.accepted[post.notification_id] += 1
        self._changed.fire()

    def _record_email(self, letter: ReceivedEmail) -> None:
        self.emails.append(letter)
        self.accepted[letter.notification_id] += 1
        self._changed.fire()
