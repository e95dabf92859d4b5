"""The end of a process: which work may still begin once it has been asked to stop."""

from notification_sender.ports.clock import Clock


class Draining(Exception):
    """There is no time left to finish this work; another worker will do it."""


class Drain:
    """Keeps a send from beginning that would be cut off, with an unknown outcome."""

    def __init__(self, *, clock: Clock, send_timeout: float) -> None:
        self._clock = clock
        self._send_timeout = send_timeout
        self._deadline: float | None = None

    @property
    def begun(self) -> bool:
        """Whether the process has been asked to stop."""
        return self._deadline is not None

    def begin(self, deadline: float) -> None:
        """All work ends at ``deadline``, on the monotonic clock."""
        self._deadline = deadline

    def check(self) -> None:
        """To be called before work that takes up to a send timeout.

        Raises:
            Draining: it would not end in time.
        """
        if self._deadline is not None and self._clock.monotonic() + self._send_timeout > self._deadline:
            raise Draining
