"""The shared cache in plain Python, on a clock that may jump: what the scripts must do, and a store for tests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from notification_sender.adapters.redis.constants import FETCH_LEASE_SECONDS
from notification_sender.ports.cache import CacheEntry, CacheLookup
from notification_sender.ports.clock import Clock


@dataclass(slots=True)
class _Lease:
    token: str
    ends: float
    wanted: str = ""
    """The token whose fetch another process waits for; it stays if the lease passes to another token and back."""


class MemorySharedCache:
    """Several processes' worth, if they share it. ``wake`` is called with what a message on the channel would say."""

    def __init__(
        self, *, clock: Clock, wake: Callable[[str], None] = lambda _: None, lease: float = FETCH_LEASE_SECONDS
    ) -> None:
        self._clock = clock
        self._wake = wake
        self._lease = lease
        self._facts: dict[str, tuple[CacheEntry, float]] = {}
        self._leases: dict[str, _Lease] = {}

    async def lookup(self, facts: Mapping[str, float], token: str) -> list[CacheLookup]:
        return [self._look(key, seen, token) for key, seen in facts.items()]

    async def renew_leases(self, keys: Sequence[str], token: str) -> None:
        for key in keys:
            lease = self._live(key)
            if lease is not None and lease.token == token:
                lease.ends = self._clock.now() + self._lease

    async def store(self, facts: Mapping[str, CacheEntry | None], token: str, error: str = "") -> None:
        for key, keep in facts.items():
            lease = self._live(key)
            ours = lease is not None and lease.token == token
            if keep is not None and (ours or (lease is None and self._fetched(key) < keep.fetched)):
                self._facts[key] = (keep, self._clock.now())
            if lease is not None and ours:
                del self._leases[key]
                if lease.wanted == token:
                    self._wake(f"{key}\n{error}")

    def forget(self) -> None:
        """As when the store is flushed."""
        self._facts.clear()
        self._leases.clear()

    def _look(self, key: str, seen: float, token: str) -> CacheLookup:
        keep, age = self._kept(key)
        if keep is None or keep.fetched == seen:
            return self._settled(key, token, CacheLookup(None, 0.0, 0.0, 0.0, "nobody"), waits=True)
        look = CacheLookup(keep.body, keep.fetched, keep.soft - age, keep.hard - age, "nobody")
        return look if look.soft > 0 else self._settled(key, token, look, waits=look.hard <= 0)

    def _settled(self, key: str, token: str, look: CacheLookup, *, waits: bool) -> CacheLookup:
        lease = self._live(key)
        left = lease.ends - self._clock.now() if lease is not None else 0.0
        # One that lasts longer than any was written before the clock was set back.
        if lease is not None and lease.token != token and left <= self._lease:
            lease.wanted = lease.token if waits else lease.wanted
            return CacheLookup(look.body, look.fetched, look.soft, look.hard, "other", left)
        before = self._leases.get(key)
        wanted = before.wanted if before is not None else ""
        self._leases[key] = _Lease(token, self._clock.now() + self._lease, wanted)
        return CacheLookup(look.body, look.fetched, look.soft, look.hard, "you")

    def _kept(self, key: str) -> tuple[CacheEntry | None, float]:
        keep, since = self._facts.get(key, (None, 0.0))
        age = self._clock.now() - since
        return (None, 0.0) if keep is None or age >= keep.ttl else (keep, age)

    def _fetched(self, key: str) -> float:
        keep, _ = self._kept(key)
        return 0.0 if keep is None else keep.fetched

    def _live(self, key: str) -> _Lease | None:
        lease = self._leases.get(key)
        return lease if lease is not None and lease.ends > self._clock.now() else None
