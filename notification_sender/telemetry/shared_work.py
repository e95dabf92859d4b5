"""Who waits for work that several deliveries share: a fetch of a fact, a bulk call. Its span links to all of them."""

from collections.abc import Iterator
from contextvars import ContextVar

from notification_sender.model.trace import TraceContext
from notification_sender.telemetry.steps import current


class SharedWork:
    """``waiting``: the spans of those who wait for it, and other work that does."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: list[TraceContext | SharedWork] = []

    def join(self) -> None:
        """The delivery in hand waits for it as well."""
        if (trace := current().trace) is not None:
            self.waiting.append(trace.active)

    def spans(self) -> Iterator[TraceContext]:
        """The spans of all who wait, each as often as it waits."""
        for it in self.waiting:
            if isinstance(it, SharedWork):
                yield from it.spans()
            else:
                yield it


_current: ContextVar[SharedWork | None] = ContextVar("shared_work", default=None)
shared_work = _current.get
"""What this task does for all who wait for it."""


def begin_shared() -> SharedWork | None:
    """What this task and the tasks that it starts do from now on is shared. None: traces are off."""
    if current().trace is None:
        return None
    work = SharedWork()
    work.join()
    _current.set(work)
    return work


def share(work: SharedWork) -> None:
    """From now on this task does ``work``."""
    _current.set(work)
