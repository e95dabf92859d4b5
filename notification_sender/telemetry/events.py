"""How attempts ended, as CloudEvents 1.0 in structured mode."""

from collections.abc import Mapping
from typing import Any

import orjson

from notification_sender.model.timestamps import format_rfc3339
from notification_sender.ports.broker import Events
from notification_sender.telemetry.attempt_record import AttemptRecord


class CloudEvents:
    """``prefix`` distinguishes the events of this fleet from those of another on the same broker."""

    def __init__(self, events: Events, *, prefix: str) -> None:
        self._events = events
        self._source = f"/notification-sender/{prefix}"

    def publish(self, what: str, subject: str, record: AttemptRecord, data: Mapping[str, Any], moment: float) -> None:
        """``what`` (``unit``, ``notification``, ``destination``) ended at ``moment`` (epoch time); ``data`` is what is
        known of ``record``.

        The same end published twice, by whichever process, has the same id: readers can drop the second.
        """
        outcome = record.end.outcome
        event = {
            "specversion": "1.0",
            "id": _id(subject, record),
            "source": self._source,
            "type": f"notification-sender.{what}.{outcome}",
            "subject": subject,
            "time": format_rfc3339(moment),
            "datacontenttype": "application/json",
            "data": data,
        }
        topic = f"{record.facts.channel or what}.{outcome}"
        self._events.publish_event(topic, orjson.dumps(event))


def _id(subject: str, record: AttemptRecord) -> str:
    """Work units of two organizations may share a name, attempts begin again when a dead one is replayed, and a
    destination may be switched off more than once.
    """
    facts, end = record.facts, record.end
    which = facts.notification_id or subject
    number = f"{facts.replays or 0}.{facts.attempt or 1}"
    return f"{facts.organization_id or ''}:{which}:{number}:{end.outcome}:{end.reason}"
