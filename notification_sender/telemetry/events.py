"""How attempts ended, for whoever wants to know: CloudEvents 1.0 in structured mode."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from notification_sender.ports import Events


class CloudEvents:
    """``prefix`` tells the events of this fleet from those of another on the same broker."""

    def __init__(self, events: Events, *, prefix: str) -> None:
        self._events = events
        self._source = f"/notification-sender/{prefix}"

    def tell(self, what: str, subject: str, data: Mapping[str, Any], moment: float) -> None:
        """``what`` (``unit``, ``notification``, ``destination``) ended at ``moment`` (epoch time) as ``data`` says.

        The same end told twice, by whichever process, has the same id: readers can tell that they know it already.
        """
        outcome = data["outcome"]
        event = {
            "specversion": "1.0",
            "id": _id(subject, data),
            "source": self._source,
            "type": f"notification-sender.{what}.{outcome}",
            "subject": subject,
            "time": datetime.fromtimestamp(moment, UTC),
            "datacontenttype": "application/json",
            "data": data,
        }
        self._events.tell(f"{data.get('channel', what)}.{outcome}", orjson.dumps(event, option=orjson.OPT_UTC_Z))


def _id(subject: str, data: Mapping[str, Any]) -> str:
    """Work units of two organizations may share a name, attempts begin again when a dead one is replayed, and a
    destination may be switched off more than once.
    """
    whose, which = data.get("organization_id", ""), data.get("notification_id", subject)
    number = f"{data.get('replays', 0)}.{data.get('attempt', 1)}"
    return f"{whose}:{which}:{number}:{data['outcome']}:{data['reason']}"
