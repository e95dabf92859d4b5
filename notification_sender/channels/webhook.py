"""The channel ``webhook``: one signed POST, and the meaning of each answer."""

import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Protocol
from urllib.parse import urlsplit

from notification_sender.channels.addresses import origin, webhook_url
from notification_sender.channels.notices import Notices
from notification_sender.channels.redaction import excerpt
from notification_sender.channels.signing import Secrets, signature
from notification_sender.channels.trust_store import TrustStore
from notification_sender.channels.webhook_target import FIELDS, WebhookTarget, target_of
from notification_sender.model.cause import track_progress
from notification_sender.model.destination import Destination
from notification_sender.model.errors import (
    ContextUnavailable,
    Gone,
    Rejected,
    SchemaViolation,
    SendFailed,
    Sent,
    SetupFault,
    TransportError,
)
from notification_sender.model.notification import Notification
from notification_sender.model.outcome import Receipt
from notification_sender.policy.retry import retry_after
from notification_sender.ports.channels import Begin
from notification_sender.ports.clock import Clock
from notification_sender.telemetry.lag import Deadline, lost_seconds
from notification_sender.telemetry.steps import CONTEXT, current

_TOKEN_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_TRY_LATER = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)

_Headers = list[tuple[str, str]]
_PRIVATE = ("authorization", "webhook-signature")
"""Headers whose values a recipient may repeat in its answer, and that must not be stored."""


class Tokens(Protocol):
    """Bearer tokens for destinations."""

    async def token(self, organization_id: str, destination_id: str, resource: str, *, fresh: bool = False) -> str:
        """A token for ``resource`` (an origin) and this destination of the organization alone. ``fresh``: the last
        token was refused.

        Raises:
            ContextUnavailable: the AAA API failed.

        """


class Answer(Protocol):
    """An answer. Its body is not decoded: that could make 64 MiB of 64 KiB."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]: ...
    @property
    def body(self) -> bytes: ...


class Transport(Protocol):
    """One request, one answer. It takes plain values: the objects of httpx take as long as the rest of a send."""

    def is_connected(self, url: str, tls: ssl.SSLContext | None, organization: str) -> bool:
        """Whether an idle connection is there for such an exchange; it may be closed by now."""

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
        organization: str,
    ) -> Answer:
        """``headers``: all but those of HTTP itself (host, lengths, encodings), which the transport adds. ``begin`` is
        awaited once there is a connection, right before the first byte. ``tls`` replaces the transport's own.
        ``organization``: its rules and its connections are used.

        Raises:
            ForbiddenAddress: nothing was sent, and never will be.
            TransportError: no answer.
            SlowDown: our own name server did not answer; nothing was sent.
            ClaimLost, Unready: from ``begin``; nothing was sent.

        """


class Webhook:
    """The channel ``webhook``: a destination has a ``url``, and may have a ``secret``, an ``auth`` and a ``ca``.

    ``transport`` returns the part of an answer that has come when the answer does not end: the status is enough.
    ``deadline`` (seconds) is for one send; a second try with a fresh token shares it.
    """

    name = "webhook"
    parts: Mapping[str, bool] = {"json": False}
    fields: Mapping[str, int] = FIELDS

    def __init__(
        self,
        *,
        transport: Transport,
        secrets: Secrets,
        trust_store: TrustStore,
        tokens: Tokens,
        notices: Notices,
        clock: Clock,
        version: str,
        deadline: float = 15.0,
    ) -> None:
        self._transport = transport
        self._secrets = secrets
        self._trust_store = trust_store
        self._tokens = tokens
        self._notices = notices
        self._clock = clock
        self._user_agent = f"notification-sender/{version}"
        self._deadline = deadline

    def address(self, destination: Destination) -> str:
        """The URL.

        Raises:
            SchemaViolation: a field is missing or breaks a rule.
            ForbiddenAddress: the host is an address in a notation that we never dial.

        """
        return target_of(destination).url

    def host(self, address: str) -> str:
        """Name and port of the URL."""
        return urlsplit(webhook_url(address)).netloc

    def check(self, organization_id: str, destination: Destination) -> None:
        """Check its signing secret and its certificate authority. A problem is logged once for each destination.

        Raises:
            SetupFault: one of them cannot be used; nothing is sent until it can.
            SchemaViolation: as ``address``, or it names no secret and NS_UNSIGNED refuses that.
            Unready: this process may open no more files just now.

        """
        target = target_of(destination)
        who = (organization_id, destination.destination_id, f"{target.secret or ''} {target.ca or ''}")
        try:
            keys = self._secrets.keys(organization_id, target.secret)
            if target.ca:
                self._trust_store.context(target.ca)
        except SetupFault as fault:
            self._notices.waits(who, fault)
            raise
        self._notices.served(who)
        if not keys:
            self._notices.unsigned(who)

    def sends_at_once(self, organization_id: str, destination: Destination) -> bool:
        """Whether a connection is open. A destination with a token may have to wait for that."""
        target = target_of(destination)
        if target.auth:
            return False
        try:
            tls = self._trust_store.context(target.ca) if target.ca else None
        except SetupFault:
            return False  # ``send`` will say so
        return self._transport.is_connected(webhook_url(target.url), tls, organization_id)

    async def send(self, notification: Notification, begin: Begin) -> Receipt:
        """POST it once, or twice where the first token is refused.

        Raises:
            Gone: 410.
            Rejected: another 4xx that will not change.
            ForbiddenAddress: nothing was sent, and never will be.
            SchemaViolation: as ``address``, or it was not rendered for a webhook.
            SendFailed: no answer, or an answer that asks to try later.
            SlowDown: as of the transport.
            ContextUnavailable: there is no token for it; nothing was sent.
            SetupFault: as ``check``; nothing was sent.
            ClaimLost, Unready: from ``begin``; nothing was sent.

        """
        target = target_of(notification.destination)
        if target.auth:
            headers, answer = await self._post_with_token(notification, target, begin)
        else:
            headers, answer = await self._post(notification, target, begin, self._deadline)
        if 200 <= answer.status < 300:  # noqa: PLR2004 - HTTP's own border
            return Receipt(str(answer.status), status=answer.status)
        private = [word for name, value in headers if name in _PRIVATE for word in value.split()]
        raise self._refusal(answer, excerpt(answer.body, private=[target.url, *private]))

    async def _post_with_token(
        self, notification: Notification, target: WebhookTarget, begin: Begin
    ) -> tuple[_Headers, Answer]:
        """Both tries, and the tokens for them, come within the deadline of one send."""
        until = self._clock.monotonic() - lost_seconds() + self._deadline
        headers, answer = await self._try_with_token(notification, target, begin, until, fresh=False)
        if answer.status in _TOKEN_REFUSED:
            headers, answer = await self._try_with_token(notification, target, begin, until, fresh=True)
        return headers, answer

    async def _try_with_token(
        self, notification: Notification, target: WebhookTarget, begin: Begin, until: float, *, fresh: bool
    ) -> tuple[_Headers, Answer]:
        token = await self._token(notification, target, until, fresh=fresh)
        left = until + lost_seconds() - self._clock.monotonic()
        return await self._post(notification, target, begin, left, authorization=f"Bearer {token}")

    async def _post(
        self, notification: Notification, target: WebhookTarget, begin: Begin, deadline: float, authorization: str = ""
    ) -> tuple[_Headers, Answer]:
        """``authorization`` comes before: it may take seconds, and the timestamp must be that of this attempt."""
        body = _body(notification)
        headers = self._headers(notification, target, body)
        if authorization:
            headers.append(("authorization", authorization))
        tls = self._trust_store.context(target.ca) if target.ca else None
        try:
            answer = await self._transport.exchange(
                "POST",
                webhook_url(target.url),
                headers,
                body,
                deadline=deadline,
                begin=begin,
                tls=tls,
                organization=notification.organization_id,
            )
        except TransportError as fault:
            raise SendFailed.of(fault) from fault
        return headers, answer

    async def _token(self, notification: Notification, target: WebhookTarget, until: float, *, fresh: bool) -> str:
        """Fetched within the deadline of the send: the claim does not last much longer."""
        owner = (notification.organization_id, notification.destination.destination_id, origin(target.url))
        progress, steps = track_progress(), current()
        sending = steps.step
        steps.enter(f"{CONTEXT}token")
        try:
            async with Deadline(until + lost_seconds() - self._clock.monotonic()):
                return await self._tokens.token(*owner, fresh=fresh)
        except TimeoutError:
            cause = replace(progress.at, source="token")
            raise ContextUnavailable("the token for this destination did not come in time", cause=cause) from None
        finally:
            steps.enter(sending)

    def _headers(self, notification: Notification, target: WebhookTarget, body: bytes) -> _Headers:
        id_, timestamp = notification.notification_id, int(self._clock.now())
        headers = [
            ("content-type", "application/json"),
            ("user-agent", self._user_agent),
            ("webhook-id", id_),
            ("webhook-timestamp", str(timestamp)),
            ("idempotency-key", id_),
        ]
        if keys := self._secrets.keys(notification.organization_id, target.secret):
            headers.append(("webhook-signature", signature(keys, id_, timestamp, body)))
        return headers

    def _refusal(self, answer: Answer, said: str) -> Gone | Rejected | SendFailed:
        """``said``, an excerpt of the recipient's answer, appears in ``answer`` alone."""
        status = answer.status
        if status == HTTPStatus.GONE:
            return Gone("answered 410", answer=said, status=status)
        if 400 <= status < 500 and status not in _TRY_LATER:  # noqa: PLR2004 - HTTP's own border
            return Rejected(f"answered {status}", answer=said, status=status)
        redirect = ", a redirect, which is never followed" if 300 <= status < 400 else ""  # noqa: PLR2004 - as above
        values = [value.decode("latin-1") for name, value in answer.headers if name.lower() == b"retry-after"]
        return SendFailed(
            f"answered {status}{redirect}",
            sent=Sent.ANSWERED,
            retry_after=retry_after(values[0] if values else None, self._clock.now()),
            ill=status >= HTTPStatus.INTERNAL_SERVER_ERROR,
            answer=said,
            status=status,
        )


def _body(notification: Notification) -> bytes:
    try:
        return notification.content["json"].encode()
    except KeyError:
        raise SchemaViolation("content.json: missing, so it was not rendered for a webhook") from None
