"""What an operator changed, as a CloudEvent 1.0 in structured mode, beside the events of attempts.

The fields of its data are those of docs/reference/change.schema.json; a test compares the two.
"""

from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

import orjson

from notification_sender.model.timestamps import format_rfc3339


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of state by an operator. None: it does not apply."""

    change: str
    """What was done, as a past participle: ``paused``. It ends the routing key and the type."""
    by: str
    subject: str
    """What was changed, as ``kind/name``: ``organization/org-alpnet``, ``api/aaa``, ``all``."""
    until: float | None = None
    """Epoch seconds at which the change ends by itself."""
    organization_id: str | None = None
    destination_id: str | None = None
    channel: str | None = None
    value: str | None = None
    """What was set in place of the configured value, such as a rate."""
    reason: str | None = None
    """By which messages were chosen."""
    note: str | None = None
    """The operator's own words."""
    count: int | None = None
    """How many messages, addresses or records were changed."""

    @property
    def topic(self) -> str:
        """The routing key."""
        return f"operator.{self.change}"

    def data(self) -> dict[str, Any]:
        """The fields that are known."""
        known = {name: value for name, value in asdict(self).items() if value is not None}
        return known | ({} if self.until is None else {"until": format_rfc3339(self.until, "seconds")})

    def event(self, *, prefix: str, now: float) -> bytes:
        """The event. ``prefix`` distinguishes fleets on one broker; ``now``: epoch seconds of the change."""
        return orjson.dumps(
            {
                "specversion": "1.0",
                "id": str(uuid4()),
                "source": f"/notification-sender/{prefix}",
                "type": f"notification-sender.{self.topic}",
                "subject": self.subject,
                "time": format_rfc3339(now),
                "datacontenttype": "application/json",
                "data": self.data(),
            }
        )
