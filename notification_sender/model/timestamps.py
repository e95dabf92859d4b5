"""Points in time as the APIs write them."""

from datetime import UTC, datetime


def moment(text: object) -> datetime | None:
    """Read an RFC 3339 time. Without an offset it is UTC, as our APIs mean it; anything else is no time, and neither is
    what is outside the years 1 to 9999 in UTC: nobody could be told of it.
    """
    if not isinstance(text, str):
        return None
    try:
        read = datetime.fromisoformat(text)
        return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def rfc3339(at: datetime) -> str:
    """As customers receive it: UTC, with a ``Z``."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
