"""One fetch of the whole fleet: who leads it, and how those who wait for somebody else's are woken."""

import asyncio
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from notification_sender.model.errors import ContextUnavailable
from notification_sender.ports import Shelf

RENEWAL = 1.0
"""Seconds after which a lease is renewed: a third of it, so that a hiccup of the store does not end it."""

V = TypeVar("V")


class Wakes:
    """Who in this process waits for whose fetch."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[str]]] = {}

    def heard(self, text: str) -> None:
        """A fetch has ended: the key of the fact, and what went wrong, by a line break."""
        key, _, error = text.partition("\n")
        for woken in self._waiting.get(key, ()):
            if not woken.done():
                woken.set_result(error)

    @contextmanager
    def listening(self, keys: Iterable[str]) -> Iterator[asyncio.Future[str]]:
        """Done when one of these has ended, also if that was before it was awaited."""
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


async def led(fetch: Awaitable[V], shelf: Shelf, keys: list[str], token: str, deadline: float) -> V:
    """The result of ``fetch``; meanwhile its leases are renewed, for ``deadline`` s.

    Raises:
        ContextUnavailable: it did not end within them.

    """
    task = asyncio.ensure_future(fetch)
    try:
        async with asyncio.timeout(deadline):
            while not (await asyncio.wait({task}, timeout=RENEWAL))[0]:
                await shelf.extend(keys, token)
    except TimeoutError:
        raise ContextUnavailable(f"not there in {deadline:g} s") from None
    finally:
        task.cancel()
    return task.result()
