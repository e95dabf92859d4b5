"""The end of a process: what may still begin once it has been asked to stop."""

from notification_sender.ports import Clock


class Draining(Exception):
    """There is no time left to finish this; somebody else will do it."""


class Drain:
    """A send begun too late would be cut off, and its outcome unknown: better not begun."""

    def __init__(self, *, clock: Clock, send_timeout: float) -> None:
        self._clock = clock
        self._send_timeout = send_timeout
        self._deadline: float | None = None

    @property
    def asked(self) -> bool:
        """Whether the process has been asked to stop."""
        return self._deadline is not None

    def begin(self, deadline: float) -> None:
        """Everything must be over then, on the monotonic clock."""
        self._deadline = deadline

    def check(self) -> None:
        """Before anything that takes up to a send timeout.

        Raises:
            Draining: it would not be over in time.
        """
        if self._deadline is not None and self._clock.monotonic() + self._send_timeout > self._deadline:
            raise Draining
