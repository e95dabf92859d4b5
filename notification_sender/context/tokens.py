"""Bearer tokens of the AAA API: kept in this process alone, one refresh in flight each."""

from dataclasses import dataclass, field

from notification_sender.context.flights import Flights
from notification_sender.context.upstream import BadAnswer, NotFound, Upstream
from notification_sender.model.errors import ContextUnavailable
from notification_sender.ports import Clock

SKEW_SHARE = 0.1
LONGEST_SKEW = 30.0
"""A token is renewed this long before it expires: it must outlive the send that carries it (15 s). A token that
lives for seconds only is renewed after nine tenths of its life: 30 s would leave nothing of it."""

JUST_REPLACED = 5.0
"""Seconds in which a token that replaced a refused one answers everybody else whose token was refused: most
likely they carried the one before. Without it each of 75 deliveries in flight would ask for a token of its own."""

UNSAID_LIFE = 60.0
"""Seconds that a token is used which does not say how long it lives (``expires_in`` is optional in RFC 6749)."""

_Whose = tuple[str, str]
"""Organization (empty: our own) and audience (empty: our own APIs)."""


@dataclass(frozen=True, slots=True)
class _Held:
    token: str = field(repr=False)
    until: float
    settled: float
    """Until then it counts as fresh for whoever was refused."""


class Tokens:
    """Client credentials (RFC 6749, section 4.4). ``aaa`` is a client without a token of its own."""

    def __init__(self, *, aaa: Upstream, client_id: str, client_secret: str, clock: Clock) -> None:
        self._aaa = aaa
        self._credentials = {"client_id": client_id, "client_secret": client_secret}
        self._clock = clock
        self._held: dict[_Whose, _Held] = {}
        self._flights: Flights[_Whose, str] = Flights()

    async def token(self, audience: str | None = None, *, tenant: str = "", fresh: bool = False) -> str:
        """A token that is good for a while. ``fresh``: the one before was refused.

        Raises:
            ContextUnavailable: the AAA API is unwell, or refuses our credentials.

        """
        whose = (tenant, audience or "")
        held = self._held.get(whose)
        now = self._clock.monotonic()
        if held is not None and now < (held.settled if fresh else held.until):
            return held.token
        flight = self._flights.under_way(whose)
        if flight is None:
            flight = self._flights.start([whose], self._fetch(whose, refused=fresh))
        (token,) = await self._flights.land([flight])
        return token

    async def _fetch(self, whose: _Whose, *, refused: bool) -> str:
        fields = {"grant_type": "client_credentials", **self._credentials}
        if whose[1]:
            fields["audience"] = whose[1]
        asked = self._clock.monotonic()
        try:
            answer = await self._aaa.form("/oauth/token", fields)
        except NotFound as fault:
            raise ContextUnavailable(f"the AAA API knows no /oauth/token: {fault}") from fault
        token = answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise BadAnswer("the token call answered without an access_token")
        until = asked + _usable(answer.get("expires_in"))
        settled = min(until, self._clock.monotonic() + JUST_REPLACED) if refused else asked
        # What has expired is dropped here: there may be one for each destination that ever was.
        self._held = {it: held for it, held in self._held.items() if held.until > asked}
        self._held[whose] = _Held(token, until, settled)
        return token


def _usable(expires_in: object) -> float:
    """Seconds that a token may be used for."""
    try:
        life = float(expires_in)  # type: ignore[arg-type]  # a number, or a string that holds one
    except (TypeError, ValueError):
        life = UNSAID_LIFE
    return max(0.0, life - min(LONGEST_SKEW, life * SKEW_SHARE))


class OutboundTokens:
    """Tokens for destinations. Two organizations may have destinations of one id: theirs are kept apart."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def token(self, organization_id: str, destination_id: str, *, fresh: bool = False) -> str:
        """For the bearer header of a send; ``fresh``: the recipient refused the one before."""
        return await self._tokens.token(destination_id, tenant=organization_id, fresh=fresh)
