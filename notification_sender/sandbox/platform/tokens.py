"""The token endpoint of the simulated AAA: OAuth 2.0 client credentials, tokens that expire and can be revoked."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from notification_sender.sandbox.platform.records import Record


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a token for a destination is good: there, as that destination of that organization, and nowhere else."""

    audience: str
    organization_id: str
    resource: str


@dataclass(frozen=True, slots=True)
class _Grant:
    bound: Bound | None
    expires: float


class TokenRefused(Exception):
    """``error`` of RFC 6749, section 5.2, or of RFC 8707."""


class Tokens:
    """Issues and knows bearer tokens. A token for an audience is for that destination, never for our own APIs.

    ``suits``: whether an organization may have a token for a destination at that place.
    """

    def __init__(self, client_id: str, client_secret: str, suits: Callable[[Bound], bool] = lambda _: True) -> None:
        self._client = (client_id, client_secret)
        self._suits = suits
        self._grants: dict[str, _Grant] = {}
        self.expires_in: float = 3600
        """Seconds that a new token lives."""

    def issue(self, form: Mapping[str, object]) -> Record:
        """The answer of the token endpoint.

        Raises:
            TokenRefused: another grant type, the wrong client, or no place where such a token would be good.

        """
        if form.get("grant_type") != "client_credentials":
            raise TokenRefused("unsupported_grant_type")
        if (form.get("client_id"), form.get("client_secret")) != self._client:
            raise TokenRefused("invalid_client")
        bound = self._bound(form)
        token = secrets.token_urlsafe(24)
        self._grants[token] = _Grant(bound, time.monotonic() + self.expires_in)
        return {"access_token": token, "token_type": "Bearer", "expires_in": self.expires_in}

    def revoke(self) -> None:
        """From now on every token that was issued is refused."""
        self._grants.clear()

    def admits(self, authorization: str | None, bound: Bound | None = None) -> bool:
        """Whether this ``Authorization`` header holds a live token that is good there (None: at our own APIs)."""
        scheme, _, token = (authorization or "").partition(" ")
        grant = self._grants.get(token)
        return (
            scheme.casefold() == "bearer"
            and grant is not None
            and grant.bound == bound
            and time.monotonic() < grant.expires
        )

    def _bound(self, form: Mapping[str, object]) -> Bound | None:
        given = [str(form.get(name) or "") for name in ("audience", "organization_id", "resource")]
        if not any(given):
            return None
        if not all(given[:2]):
            raise TokenRefused("invalid_request")
        bound = Bound(*given)
        if origin(bound.resource) != bound.resource or not self._suits(bound):
            raise TokenRefused("invalid_target")
        return bound


def origin(url: str) -> str:
    """Scheme and host of a URL, with its port where that is not the scheme's own."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    host = parts.netloc.lower().removesuffix(f":{default}")
    return f"{parts.scheme}://{host}"
