"""Bearer tokens of the AAA API: kept in this process alone, one refresh in flight each."""

import re
from dataclasses import dataclass, field, replace

from notification_sender.context.cache.single_flight import SingleFlight
from notification_sender.context.upstream.client import Upstream
from notification_sender.context.upstream.errors import BadAnswer, NotFound
from notification_sender.context.upstream.requesting_organization import requesting_organization
from notification_sender.model.cause import Cause, Phase, record_progress
from notification_sender.model.errors import ContextUnavailable
from notification_sender.ports.clock import Clock

SOURCE = "token"
"""The name of a token in a cause."""

SKEW_SHARE = 0.1
LONGEST_SKEW = 30.0
"""A token is renewed so many seconds before it expires: it must outlive the send that carries it (15 s). A token that
lives for seconds only is renewed after nine tenths of its life: 30 s would be all of it."""

JUST_REPLACED = 5.0
"""Seconds in which the token that replaced a refused one also counts as fresh for others whose token was refused. Most
likely they carried the one before. Without this, each of 75 deliveries in flight would ask for a token of its own."""

MOST = 10_000
"""Tokens that are kept, the latest ones, about 5 MB: units may bring new destinations without end."""

UNSAID_LIFE = 60.0
"""Seconds for which a token without ``expires_in`` is used (it is optional in RFC 6749)."""

_PRINTABLE = re.compile(r"[!-~]+")
"""The characters of a token (RFC 6749, appendix A.12). A token that no header can hold would fail every send: a mistake
of the AAA API would be taken for a failure of all recipients.
"""


@dataclass(frozen=True, slots=True)
class TokenOwner:
    """The destination that a token is for, and the origin that may see it."""

    organization_id: str
    destination_id: str
    resource: str
    """The origin of the destination's URL (RFC 8707). A destination that moves, or one of the same id in a unit, never
    sees the token of another origin.
    """


@dataclass(frozen=True, slots=True)
class _CachedToken:
    token: str = field(repr=False)
    until: float
    settled: float
    """Until then the token counts as fresh for a caller whose token was refused."""


class Tokens:
    """Client credentials (RFC 6749, section 4.4). ``aaa`` is a client without a token of its own."""

    def __init__(self, *, aaa: Upstream, client_id: str, client_secret: str, clock: Clock) -> None:
        self._aaa = aaa
        self._credentials = {"client_id": client_id, "client_secret": client_secret}
        self._clock = clock
        self._tokens: dict[TokenOwner | None, _CachedToken] = {}
        self._single_flight: SingleFlight[TokenOwner | None, str] = SingleFlight()

    async def token(self, owner: TokenOwner | None = None, *, fresh: bool = False) -> str:
        """A token that is valid for a while, for our own APIs unless ``owner`` names a destination. ``fresh``: the last
        one was refused.

        Raises:
            ContextUnavailable: the AAA API is unwell, or refuses our credentials.

        """
        cached = self._tokens.get(owner)
        now = self._clock.monotonic()
        if cached is not None and now < (cached.settled if fresh else cached.until):
            return cached.token
        flight = self._single_flight.in_flight(owner)
        if flight is None:
            flight = self._single_flight.start([owner], self._fetch(owner, refused=fresh))
        else:
            record_progress(Cause(SOURCE, self._aaa.api, phase=Phase.SHARED))
        (token,) = await self._single_flight.wait([flight])
        return token

    async def _fetch(self, owner: TokenOwner | None, *, refused: bool) -> str:
        fields = {"grant_type": "client_credentials", **self._credentials}
        if owner is not None:
            fields |= {
                "audience": owner.destination_id,
                "organization_id": owner.organization_id,
                "resource": owner.resource,
            }
        asked = self._clock.monotonic()
        # In the task of this fetch: the service token belongs to no organization.
        requesting_organization.set(owner.organization_id if owner else "")
        try:
            answer = await self._aaa.form("/oauth/token", fields)
        except (NotFound, ContextUnavailable) as fault:
            # Neither error is about one record, and its reader must not look for one.
            words = f"the AAA API knows no /oauth/token: {fault}" if isinstance(fault, NotFound) else str(fault)
            raise ContextUnavailable(words, cause=replace(fault.cause, source=SOURCE)) from fault
        token = answer.get("access_token")
        if not isinstance(token, str) or not _PRINTABLE.fullmatch(token):
            words = "the token call answered without an access_token that a header can hold"
            raise BadAnswer(words, cause=Cause(SOURCE, self._aaa.api, phase=Phase.READ))
        until = asked + _usable(answer.get("expires_in"))
        settled = min(until, self._clock.monotonic() + JUST_REPLACED) if refused else asked
        # Expired tokens are dropped here: there may be one for each destination that ever was.
        live = [(it, cached) for it, cached in self._tokens.items() if cached.until > asked and it != owner]
        self._tokens = dict(live[-MOST:])
        self._tokens[owner] = _CachedToken(token, until, settled)
        return token


def _usable(expires_in: object) -> float:
    """Seconds that a token may be used for."""
    try:
        life = float(expires_in)  # type: ignore[arg-type]  # a number, or a string that holds one
    except (TypeError, ValueError):
        life = UNSAID_LIFE
    return max(0.0, life - min(LONGEST_SKEW, life * SKEW_SHARE))


class OutboundTokens:
    """Tokens for destinations. They are kept apart where two organizations have destinations of one id, and where one
    destination has two origins.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def token(self, organization_id: str, destination_id: str, resource: str, *, fresh: bool = False) -> str:
        """For the bearer header of a send to ``resource``, an origin. ``fresh``: the origin refused the last token."""
        return await self._tokens.token(TokenOwner(organization_id, destination_id, resource), fresh=fresh)
