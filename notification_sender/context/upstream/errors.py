"""The errors that useless answers of an API become."""

from notification_sender.model.errors import ContextUnavailable, PlatformFault


class NotFound(PlatformFault):
    """The API says that there is no such thing. The caller decides what that means."""


class Foreign(NotFound):
    """The thing belongs to another organization: for the unit there is none."""


class BadAnswer(ContextUnavailable):
    """A complete answer that is of no use: another try would get the same."""


class BadRecord(BadAnswer):
    """The API is well, but its record of this one id cannot be read. Remembered for a short time."""


class Refused(BadAnswer):
    """The API refuses the call: it rejects an id, or the ids of one call are too many."""


class Broken(ContextUnavailable):
    """The API failed (500): over the thing it was asked for, or altogether."""
