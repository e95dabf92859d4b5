"""The target of a webhook: a destination's own fields, read and checked."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from notification_sender.channels.addresses import webhook_url
from notification_sender.identity_cache import IdentityCache
from notification_sender.model.destination import MAX_ID, MAX_URL, Destination, Identifier
from notification_sender.model.errors import SchemaViolation
from notification_sender.model.unit import explain

FIELDS: Mapping[str, int] = {"url": MAX_URL, "secret": MAX_ID, "auth": MAX_ID, "ca": MAX_ID}
"""The fields of a destination that the channel reads, and the length of each."""

MAX_TARGETS = 4096
"""Parsed targets that are kept: a send needs its target four times, and to parse one costs a tenth of a send."""


MAX_DESTINATIONS = 1024
"""Destinations whose target is found without a look at their fields. They are kept whole, so they are fewer."""


class WebhookTarget(BaseModel):
    """A destination's own fields."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: Annotated[str, Field(max_length=MAX_URL)]
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


def _target_of(destination: Destination) -> WebhookTarget:
    extra = destination.extra
    try:
        return _read(tuple([(name, extra[name]) for name in FIELDS if name in extra]))
    except ValidationError as fault:
        raise SchemaViolation(f"{destination.destination_id}: {explain(fault)}") from None
    except TypeError:  # a list or an object has no hash
        raise SchemaViolation(f"{destination.destination_id}: a field is not a text") from None


def _has_known_fields(destination: Destination) -> bool:
    """Each of these has a bound. A parked notification may have others, of any length."""
    return destination.extra.keys() <= FIELDS.keys()


@lru_cache(maxsize=MAX_TARGETS)
def _read(fields: tuple[tuple[str, Any], ...]) -> WebhookTarget:
    return WebhookTarget.model_validate(dict(fields))


target_of: Callable[[Destination], WebhookTarget] = IdentityCache(_target_of, MAX_DESTINATIONS, small=_has_known_fields)
"""Read the target of a destination.

Raises:
    SchemaViolation: a field is missing or breaks a rule.
    ForbiddenAddress: the host is an address in a notation that we never dial.

"""
