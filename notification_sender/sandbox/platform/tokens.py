"""The token endpoint of the simulated AAA API: OAuth 2.0 client credentials. Tokens expire and can be revoked."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from notification_sender.sandbox.platform.records import Record


@dataclass(frozen=True, slots=True)
class Bound:
    """The one place where a token for a destination is valid: an origin, for that destination of that organization."""

    audience: str
    organization_id: str
    resource: str


@dataclass(frozen=True, slots=True)
class _Grant:
    bound: Bound | None
    expires: float


class TokenRefused(Exception):
    """``error`` as of RFC 6749, section 5.2, or RFC 8707."""


class Tokens:
    """Issues and checks bearer tokens. A token with an audience is valid for that destination, never for our own APIs.

    ``suits`` decides whether an organization may have a token for a destination at a place.
    """

    def __init__(self, client_id: str, client_secret: str, suits: Callable[[Bound], bool] = lambda _: True) -> None:
        self._client = (client_id, client_secret)
        self._suits = suits
        self._grants: dict[str, _Grant] = {}
        self.expires_in: float = 3600
        """Seconds for which a new token is valid."""

    def issue(self, form: Mapping[str, object]) -> Record:
        """Answer a call of the token endpoint.

        Raises:
            TokenRefused: another grant type, the wrong client, or no place where such a token is valid.

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
        """Refuse every token that was issued before now."""
        self._grants.clear()

    def admits(self, authorization: str | None, bound: Bound | None = None) -> bool:
        """Whether this ``Authorization`` header has a token that is valid at the place (None: at our own APIs)."""
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
    """Return scheme and host of a URL, and its port unless it is the scheme's default."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    host = parts.netloc.lower().removesuffix(f":{default}")
    return f"{parts.scheme}://{host}"
