"""Checks the signature of a webhook as a careful customer does, from the specification alone.

Standard Webhooks 1.0.0: base64(HMAC-SHA256(key, "{webhook-id}.{webhook-timestamp}.{body}")), one ``v1,`` entry for
each key. It shares no code with the sender: shared code would hide a shared mistake.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping

TOLERANCE = 300
"""Seconds by which a timestamp may differ from now. An older webhook may be a replay."""


def problem(headers: Mapping[str, str], body: bytes, keys: Iterable[str], now: float) -> str | None:
    """Return the fault of a webhook, or None. ``headers`` ignores letter case."""
    missing = [name for name in ("webhook-id", "webhook-timestamp", "webhook-signature") if name not in headers]
    if missing:
        return f"no {', '.join(missing)}"
    timestamp = headers["webhook-timestamp"]
    if not timestamp.isdecimal():
        return f"the timestamp {timestamp!r} is no whole number of seconds"
    if abs(now - int(timestamp)) > TOLERANCE:
        return f"the timestamp is {now - int(timestamp):+.0f} s old"
    given = {entry.removeprefix("v1,") for entry in headers["webhook-signature"].split() if entry.startswith("v1,")}
    signed = f"{headers['webhook-id']}.{timestamp}.".encode() + body
    expected = (_signature(key, signed) for key in keys)
    if not any(hmac.compare_digest(one, other) for one in expected for other in given):
        return "no signature matches"
    return None


def _signature(key: str, signed: bytes) -> str:
    secret = b64decode(key.removeprefix("whsec_"))
    return b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
