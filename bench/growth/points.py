"""What grows, and how far."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.load import PLAIN, Shape

IN_FLIGHT = 200
"""The default of NS_CONCURRENCY."""

RATE = 1000
"""Messages a second that so many in flight could make at most: the receiver takes its time for it."""


@dataclass(frozen=True, slots=True)
class Point:
    """One size of one thing.

    ``world``: of the stage. ``met``: messages after which each of what grows was met once; only then it is measured.
    ``waiting``: so many wait all the time, in place of a backlog that shrinks. ``messages``: of a run, where that is
    not left to who runs it.
    """

    value: int
    world: Mapping[str, int] = field(default_factory=dict)
    shape: Shape = PLAIN
    in_flight: int = IN_FLIGHT
    delay: float = 0.0
    met: int = 0
    waiting: int | None = None
    messages: int | None = None

    @property
    def settings(self) -> dict[str, str]:
        """Of the worker."""
        return {"NS_CONCURRENCY": str(self.in_flight)}

    @property
    def address(self) -> str:
        """Where the receiver listens: everywhere, where there are many hosts."""
        return "0.0.0.0" if self.shape.hosts > 1 else "127.0.0.1"


def _organizations(number: int) -> Point:
    # Each has an incident of its own, and no more assets than that needs.
    return Point(number, {"organizations": number, "incidents": max(number, 20), "assets": 6}, met=number)


def _assets(number: int) -> Point:
    # One organization: the facts of a message are those of the message before.
    world = {"organizations": 1, "assets": max(number, 6)}
    return Point(number, world, Shape(assets=number), messages=1000 if number > 100 else None)


GROWTH = {
    "destinations": [Point(it, shape=Shape(destinations=it), met=it) for it in (1, 100, 10_000)],
    "organizations": [_organizations(it) for it in (1, 100, 10_000)],
    "hosts": [Point(it, shape=Shape(hosts=it), met=it) for it in (1, 100, 10_000)],
    "waiting": [Point(it, waiting=it) for it in (10, 1000, 100_000)],
    "fan-out": [Point(it, shape=Shape(told=it)) for it in (1, 4, 32)],
    "assets": [_assets(it) for it in (1, 40, 1000)],
    "in-flight": [Point(it, in_flight=it, delay=it / RATE) for it in (1, 200, 1000)],
}
"""By the name under which a piece is run."""

TITLES = {
    "destinations": "destinations",
    "organizations": "organizations",
    "hosts": "hosts",
    "waiting": "messages waiting",
    "fan-out": "destinations a unit",
    "assets": "assets a message",
    "in-flight": "in flight",
}
