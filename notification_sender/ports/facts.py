"""What the processes of a fleet share about facts and the APIs that have them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Look:
    """What the shelf says of one fact. Seconds, by the store's clock."""

    body: bytes | None
    """The copy, None where there is none that the caller can use."""
    fetched: float
    """Epoch time at which its fetch began, by the clock of whoever fetched it."""
    soft: float
    """How long it is still fresh; below 0: it grows old, and somebody fetches it anew."""
    hard: float
    """How long it may still be served while nothing is wrong; below 0: only in place of a fetch that fails."""
    fetcher: Literal["nobody", "you", "other"]
    lease: float = 0.0
    """How long somebody else's lease to fetch it lasts, if it is not renewed."""


@dataclass(frozen=True, slots=True)
class Keep:
    """A fetched fact, and for how many seconds from now: fresh, served, kept. ``fetched`` as of ``Look``."""

    body: bytes
    fetched: float
    soft: float
    hard: float
    ttl: float


class Shelf(Protocol):
    """Where fetched facts are kept for the whole fleet, and where it is settled who fetches. The facts of one call
    are one organization's. ``token`` names one fetch: leases are held under it for seconds only.

    The cache is an optimization: while the store is away everybody fetches, and nothing is kept.
    """

    async def look(self, facts: Mapping[str, float], token: str) -> list[Look]:
        """By key the ``fetched`` of a copy that the caller cannot use, or 0. Those for which the answer says ``you``
        are leased to the caller, who fills them or gives them up.
        """

    async def extend(self, keys: Sequence[str], token: str) -> None:
        """Go on holding the leases."""

    async def fill(self, facts: Mapping[str, Keep | None], token: str, error: str = "") -> None:
        """Keep what was fetched, give up the lease of every one, wake those who wait. ``error``: why there is nothing.

        What somebody else fetched since the lease ran out is not overwritten.
        """


@dataclass(frozen=True, slots=True)
class Share:
    """What one process has of the calls that the fleet may have under way at one API."""

    budget: int
    under_way: int
    held: int
    """What it was allotted before."""
    wanted: int
    """Calls under way, and those that wait."""


class Fleet(Protocol):
    """What the processes of a fleet settle between them about the APIs they call, and about the hosts they send to
    (as ``host:<name>``). Raises Unready.
    """

    async def allot(self, api: str, pod: str, share: Share) -> int:
        """What the process holds from now on; all of them together never more than the budget."""

    async def probe(self, api: str, seconds: float) -> bool:
        """Whether the caller is the one who tries an API that was out; it has so long."""

    async def probed(self, api: str) -> None:
        """It has tried."""


class Platform(Protocol):
    """Whether our own APIs bear that one more unit is begun: what cannot be finished is not begun, and waits."""

    def lets_in(self) -> bool:
        """No while an API is out that a unit could not do without; yes now and then, to find out."""

    def enters(self) -> None:
        """A unit is begun."""

    def blame(self, error: Exception) -> None:
        """A unit had to be put off because of this."""

    async def changed(self) -> None:
        """Return when the answer may be another one."""


class News(Protocol):
    """What one process tells all the others at once, by topic. It may be lost: whoever listens must do without, later.

    Topics are names without a prefix, the text is short. A listener is called in the loop, and must not raise.
    """

    async def tell(self, topic: str, text: str) -> None:
        """To every process that listens, this one included. When the store is away nobody hears it."""

    def hear(self, topic: str, listener: Callable[[str], None]) -> None:
        """Call ``listener`` with every text of ``topic`` from now on."""
