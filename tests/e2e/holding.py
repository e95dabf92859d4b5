"""Receivers that answer when the test says so. Until then every send to them is in progress.

A receiver that is only slow answers after its time. On a busy machine that may be before the test has caused the fault
that the sends in progress are to meet.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from notification_sender.sandbox.behaviour import Answer, Behaviour
from notification_sender.sandbox.inbox.inbox import Inbox


@dataclass(slots=True)
class Holding(Behaviour):
    """Like any other behaviour, but answers no call before ``release`` is set."""

    release: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def call(self) -> AsyncIterator[Answer | None]:
        async with Behaviour.call(self) as answer:  # not super(): it fails in a dataclass with slots
            yield answer
            await self.release.wait()


def hold(inbox: Inbox, *names: str) -> asyncio.Event:
    """Make these destinations hold every send until the returned event is set.

    Without names: all destinations that are first used from now on.
    """
    release = asyncio.Event()
    for name in names:
        inbox.behaviours[name] = Holding(release=release)
    if not names:
        inbox.behaviours.default_factory = lambda: Holding(release=release)
    return release
