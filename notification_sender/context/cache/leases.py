"""The leases of one fetch of the fleet, and the callers in this process that wait for another process' fetch."""

import asyncio
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import orjson

from notification_sender.model.cause import Cause, current_progress
from notification_sender.model.errors import ContextUnavailable
from notification_sender.ports.cache import SharedCache
from notification_sender.telemetry.lag import Deadline

RENEWAL = 1.0
"""Seconds between two renewals of a lease: a third of the lease, so that a hiccup of the store does not end it."""

V = TypeVar("V")


class FetchWaiters:
    """The callers of this process that wait for fetches of other processes, by the key of the fact."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[str]]] = {}

    def on_message(self, text: str) -> None:
        """A fetch has ended. ``text``: the key of the fact, a line break, the error or nothing."""
        key, _, error = text.partition("\n")
        for woken in self._waiting.get(key, ()):
            if not woken.done():
                woken.set_result(error)

    @contextmanager
    def listening(self, keys: Iterable[str]) -> Iterator[asyncio.Future[str]]:
        """A future that is done when the fetch of one of these has ended, even if that was before it is awaited."""
        woken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        keys = list(keys)
        for key in keys:
            self._waiting.setdefault(key, set()).add(woken)
        try:
            yield woken
        finally:
            for key in keys:
                self._waiting[key].discard(woken)
                if not self._waiting[key]:
                    del self._waiting[key]


def encode_fault(fault: ContextUnavailable) -> str:
    """The text for the waiting callers of other processes: the error's words, and its cause in the last line."""
    return f"{fault}\n{orjson.dumps(fault.cause.known()).decode()}"


def decode_fault(text: str) -> ContextUnavailable:
    """The error in ``text``. Another version may have sent the words alone."""
    words, _, last = text.rpartition("\n")
    try:
        known = orjson.loads(last)
    except orjson.JSONDecodeError:
        words, known = text, {}
    return ContextUnavailable(words, cause=Cause.of(known))


async def fetch_holding_leases(
    fetch: Awaitable[V], shared: SharedCache, keys: list[str], token: str, deadline: float
) -> V:
    """The result of ``fetch``; meanwhile the leases are renewed, for ``deadline`` s.

    Raises:
        ContextUnavailable: the fetch did not end in time.

    """
    task = asyncio.ensure_future(fetch)
    try:
        async with Deadline(deadline):
            while not (await asyncio.wait({task}, timeout=RENEWAL))[0]:
                await shared.renew_leases(keys, token)
    except TimeoutError:
        raise ContextUnavailable(f"not there in {deadline:g} s", cause=current_progress()) from None
    finally:
        task.cancel()
    return task.result()
