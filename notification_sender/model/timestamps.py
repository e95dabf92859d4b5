"""RFC 3339 times: how the worker reads and writes them."""

from datetime import UTC, datetime


def parse_rfc3339(text: object) -> datetime | None:
    """Read an RFC 3339 time; None if ``text`` is no such time.

    A time without an offset is UTC, as our APIs mean it. A time outside the years 1 to 9999 in UTC is None, because it
    cannot be written for a recipient.
    """
    if not isinstance(text, str):
        return None
    try:
        read = datetime.fromisoformat(text)
        return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def format_rfc3339(at: datetime) -> str:
    """Write a time as recipients get it: in UTC, with a ``Z``."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
