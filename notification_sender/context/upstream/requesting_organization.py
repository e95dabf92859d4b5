"""The organization for which an API is called right now: a failure may be about its record alone."""

from contextvars import ContextVar

SEVERAL = "*"
"""Of a call for several organizations at once. No organization has such an id."""

requesting_organization: ContextVar[str] = ContextVar("requesting_organization", default="")
"""Empty: no organization, as for a service token. Tasks that are started meanwhile inherit it."""
