"""How a webhook is sent: one signed POST, and what each answer to it means."""

import asyncio
import ssl
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Literal, Protocol
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from notification_sender.channels.addresses import webhook_url
from notification_sender.channels.answers import excerpt
from notification_sender.channels.authorities import Authorities
from notification_sender.channels.signing import Secrets, signature
from notification_sender.model.destination import Destination, Identifier
from notification_sender.model.errors import ContextUnavailable, Gone, Rejected, SchemaViolation, SendFailed, Sent
from notification_sender.model.notification import Notification
from notification_sender.model.outcome import Receipt
from notification_sender.model.unit import explain
from notification_sender.policy.retry import retry_after
from notification_sender.ports import Begin, Clock

_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_LATER = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)

_Headers = list[tuple[str, str]]
_PRIVATE = ("authorization", "webhook-signature")
"""Headers whose values a recipient may send back to us, and nobody else is to read."""


class Tokens(Protocol):
    """Bearer tokens for destinations."""

    async def token(self, organization_id: str, destination_id: str, *, fresh: bool = False) -> str:
        """``fresh``: the one before was refused.

        Raises:
            ContextUnavailable: our own platform is unwell.

        """


class Answer(Protocol):
    """What came back; the body as it came, for decoding could make 64 MiB of 64 KiB."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]: ...
    @property
    def body(self) -> bytes: ...


class Transport(Protocol):
    """One request, one answer. Plain values: to build what httpx has for them takes as long as the rest of a send."""

    async def exchange(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        *,
        deadline: float,
        begin: Begin,
        tls: ssl.SSLContext | None,
    ) -> Answer:
        """``headers``: those of HTTP itself (host, lengths, encodings) are the transport's. ``begin`` is awaited once
        there is a connection, right before the first byte is written. ``tls``: in place of its own.

        Raises:
            ForbiddenAddress: nothing was sent, and never will be.
            SendFailed: no answer.
            ClaimLost, Unready: from ``begin``; nothing was sent.

        """


class _Target(BaseModel):
    """A destination's own fields."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: str
    secret: Identifier | None = None
    auth: Literal["outbound_token"] | None = None
    ca: Identifier | None = None

    @field_validator("url")
    @classmethod
    def _dialled_alike_by_all(cls, url: str) -> str:
        webhook_url(url)
        return url

    @field_validator("ca")
    @classmethod
    def _with_tls(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is not None and "url" in info.data and not webhook_url(info.data["url"]).startswith("https:"):
            raise ValueError("goes with an https:// URL")
        return name


class Webhook:
    """The channel ``webhook``: a destination has a ``url``, and may have a ``secret``, an ``auth`` and a ``ca``.

    ``transport`` hands over what it has where an answer does not end: the status is enough. ``deadline`` is for
    all of one send, in seconds; a second try with a fresh token shares it.
    """

    name = "webhook"
    parts: Mapping[str, bool] = {"json": False}

    def __init__(
        self,
        *,
        transport: Transport,
        secrets: Secrets,
        authorities: Authorities,
        tokens: Tokens,
        clock: Clock,
        version: str,
        deadline: float = 15.0,
    ) -> None:
        self._transport = transport
        self._secrets = secrets
        self._authorities = authorities
        self._tokens = tokens
        self._clock = clock
        self._user_agent = f"notification-sender/{version}"
        self._deadline = deadline

    def address(self, destination: Destination) -> str:
        """The URL.

        Raises:
            SchemaViolation: a field is missing or breaks a rule.
            ForbiddenAddress: the host is an address in a notation that we never dial.

        """
        return _target(destination).url

    def host(self, address: str) -> str:
        """Name and port of the URL."""
        return urlsplit(webhook_url(address)).netloc

    async def send(self, notification: Notification, begin: Begin) -> Receipt:
        """POST it once, or twice where the first token is refused.

        Raises:
            Gone: 410.
            Rejected: another 4xx that will not change.
            ForbiddenAddress: nothing was sent, and never will be.
            SchemaViolation: as ``address``, or it was not rendered for a webhook.
            SendFailed: no answer, or one that says later.
            ContextUnavailable: the token could not be had; nothing was sent.
            ClaimLost, Unready: from ``begin``; nothing was sent.

        """
        target = _target(notification.destination)
        until = self._clock.monotonic() + self._deadline
        headers, answer = await self._post(notification, target, until, begin)
        if target.auth and answer.status in _REFUSED:
            headers, answer = await self._post(notification, target, until, begin, fresh=True)
        private = [word for name, value in headers if name in _PRIVATE for word in value.split()]
        return self._judge(answer, excerpt(answer.body, private=[target.url, *private]))

    async def _post(
        self, notification: Notification, target: _Target, until: float, begin: Begin, *, fresh: bool = False
    ) -> tuple[_Headers, Answer]:
        body, authorization = _body(notification), []
        if target.auth:
            token = await self._token(notification, until, fresh=fresh)
            authorization = [("authorization", f"Bearer {token}")]
        # Only now, because a token may take seconds to come.
        headers = self._headers(notification.notification_id, target, body) + authorization
        tls = self._authorities.context(target.ca) if target.ca else None
        url, left = webhook_url(target.url), until - self._clock.monotonic()
        return headers, await self._transport.exchange("POST", url, headers, body, deadline=left, begin=begin, tls=tls)

    async def _token(self, notification: Notification, until: float, *, fresh: bool) -> str:
        """Within the deadline of the send: the claim on it does not last much longer."""
        destination_id = notification.destination.destination_id
        try:
            async with asyncio.timeout(until - self._clock.monotonic()):
                return await self._tokens.token(notification.organization_id, destination_id, fresh=fresh)
        except TimeoutError:
            raise ContextUnavailable("the token for this destination did not come in time") from None

    def _headers(self, id_: str, target: _Target, body: bytes) -> _Headers:
        timestamp = int(self._clock.now())
        headers = [
            ("content-type", "application/json"),
            ("user-agent", self._user_agent),
            ("webhook-id", id_),
            ("webhook-timestamp", str(timestamp)),
            ("idempotency-key", id_),
        ]
        if target.secret:
            keys = self._secrets.keys(target.secret)
            headers.append(("webhook-signature", signature(keys, id_, timestamp, body)))
        return headers

    def _judge(self, answer: Answer, said: str) -> Receipt:
        """``said``, the recipient's words, goes nowhere but into ``answer``."""
        status = answer.status
        if 200 <= status < 300:  # noqa: PLR2004 - HTTP's own border
            return Receipt(str(status), answer=said, status=status)
        if status == HTTPStatus.GONE:
            raise Gone("answered 410", answer=said, status=status)
        if 400 <= status < 500 and status not in _LATER:  # noqa: PLR2004 - HTTP's own border
            raise Rejected(f"answered {status}", answer=said, status=status)
        redirect = ", a redirect, which is never followed" if 300 <= status < 400 else ""  # noqa: PLR2004 - as above
        values = [value.decode("latin-1") for name, value in answer.headers if name.lower() == b"retry-after"]
        raise SendFailed(
            f"answered {status}{redirect}",
            sent=Sent.ANSWERED,
            retry_after=retry_after(values[0] if values else None, self._clock.now()),
            ill=status >= HTTPStatus.INTERNAL_SERVER_ERROR,
            answer=said,
            status=status,
        )


def _target(destination: Destination) -> _Target:
    try:
        return _Target.model_validate(destination.extra)
    except ValidationError as fault:
        raise SchemaViolation(f"{destination.destination_id}: {explain(fault)}") from None


def _body(notification: Notification) -> bytes:
    try:
        return notification.content["json"].encode()
    except KeyError:
        raise SchemaViolation("content.json: missing, so it was not rendered for a webhook") from None
