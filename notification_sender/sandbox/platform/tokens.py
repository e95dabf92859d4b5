"""The token endpoint of the simulated AAA: OAuth 2.0 client credentials, tokens that expire and can be revoked."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

from notification_sender.sandbox.records import Record


@dataclass(frozen=True, slots=True)
class _Grant:
    audience: str | None
    expires: float


class TokenRefused(Exception):
    """``error`` of RFC 6749, section 5.2."""


class Tokens:
    """Issues and knows bearer tokens. A token for an audience is for that destination, never for our own APIs."""

    def __init__(self, client_id: str, client_secret: str) -> None:
        self._client = (client_id, client_secret)
        self._grants: dict[str, _Grant] = {}
        self.expires_in: float = 3600
        """Seconds that a new token lives."""

    def issue(self, form: Mapping[str, object]) -> Record:
        """The answer of the token endpoint.

        Raises:
            TokenRefused: another grant type, or the wrong client.

        """
        if form.get("grant_type") != "client_credentials":
            raise TokenRefused("unsupported_grant_type")
        if (form.get("client_id"), form.get("client_secret")) != self._client:
            raise TokenRefused("invalid_client")
        audience = form.get("audience")
        token = secrets.token_urlsafe(24)
        self._grants[token] = _Grant(str(audience) if audience else None, time.monotonic() + self.expires_in)
        return {"access_token": token, "token_type": "Bearer", "expires_in": self.expires_in}

    def revoke(self) -> None:
        """From now on every token that was issued is refused."""
        self._grants.clear()

    def admits(self, authorization: str | None, audience: str | None = None) -> bool:
        """Whether this ``Authorization`` header holds a live token for that audience (None: our own APIs)."""
        scheme, _, token = (authorization or "").partition(" ")
        grant = self._grants.get(token)
        return (
            scheme.casefold() == "bearer"
            and grant is not None
            and grant.audience == audience
            and time.monotonic() < grant.expires
        )
