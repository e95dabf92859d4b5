"""Whom a message is for: which mail addresses it has, by their hashes, and what is left of it without one of them."""

import json
from collections.abc import Mapping
from typing import Any

from notification_sender.model.destination import recipient_hash
from notification_sender.model.errors import Permanent
from notification_sender.model.notification import MAX_READ
from notification_sender.model.strict_json import read_json


def recipients_of(body: bytes) -> set[str]:
    """The hashes of the mail addresses that a unit or a notification names."""
    return {it for it in map(_hash, _destinations(_read(body))) if it is not None}


def without_recipient(body: bytes, recipient: str) -> bytes | None:
    """A unit without the destinations of this recipient (hash). None: nothing is left that it could be sent to."""
    unit = _read(body)
    given = unit.get("destinations")
    left = [it for it in given if _hash(it) != recipient] if isinstance(given, list) else []
    return json.dumps({**unit, "destinations": left}).encode() if left else None


def _destinations(message: Mapping[str, Any]) -> list[Any]:
    found = [message.get("destination")]
    for unit in (message, message.get("unit")):
        given = unit.get("destinations") if isinstance(unit, dict) else None
        found += given if isinstance(given, list) else []
    return found


def _hash(destination: object) -> str | None:
    to = destination.get("to") if isinstance(destination, dict) else None
    return recipient_hash(to) if isinstance(to, str) else None


def _read(body: bytes) -> dict[str, Any]:
    try:
        read: Any = read_json(body, limit=MAX_READ)
    except Permanent:
        return {}
    return read if isinstance(read, dict) else {}
