"""The cache of facts that the whole fleet shares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class CacheLookup:
    """What the shared cache holds of one fact, and who fetches it. Durations are seconds by the store's clock."""

    body: bytes | None
    """The encoded fact; None where there is none that the caller can use."""
    fetched: float
    """Epoch time at which the fetch began, by the clock of the process that fetched."""
    soft: float
    """How long the fact is still fresh; below 0: some process fetches it anew."""
    hard: float
    """How long the fact may be served; below 0: only in place of a fetch that fails."""
    fetcher: Literal["nobody", "you", "other"]
    lease: float = 0.0
    """How long another process' lease to fetch the fact lasts, unless it is renewed."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A fetched fact, encoded. For so many seconds from now it is fresh (``soft``), may be served (``hard``) and is
    stored (``ttl``). ``fetched`` as of ``CacheLookup``.
    """

    body: bytes
    fetched: float
    soft: float
    hard: float
    ttl: float


class SharedCache(Protocol):
    """Stores fetched facts for the whole fleet, and decides which process fetches. The facts of one call belong to one
    organization. ``token`` names one fetch: it holds leases for a few seconds at a time.

    The cache is an optimization: while the store is away every process fetches, and nothing is stored.
    """

    async def lookup(self, facts: Mapping[str, float], token: str) -> list[CacheLookup]:
        """``facts``: by key, the ``fetched`` of a fact that the caller cannot use, or 0. The caller leases each fact
        whose ``fetcher`` is ``you``, and stores it or gives up the lease.
        """

    async def renew_leases(self, keys: Sequence[str], token: str) -> None:
        """Go on holding the leases."""

    async def store(self, facts: Mapping[str, CacheEntry | None], token: str, error: str = "") -> None:
        """Store what was fetched, give up all these leases, and wake the waiting callers. ``error``: why an entry is
        None.

        A fact that another process fetched since the lease ran out is not overwritten.
        """
