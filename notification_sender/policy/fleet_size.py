"""Does a fleet of this size fit the budgets of the APIs, and the pools behind them?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from notification_sender.policy.adaptive_limit import MOST


@dataclass(frozen=True, slots=True)
class FleetSize:
    """So many pods of so many worker processes, each with so many slots."""

    pods: int
    processes: int
    concurrency: int

    @property
    def workers(self) -> int:
        return self.pods * self.processes

    def __str__(self) -> str:
        slots = self.workers * self.concurrency
        each = "1 process" if self.processes == 1 else f"{self.processes} processes"
        pods = "1 pod" if self.pods == 1 else f"{self.pods} pods"
        return f"{pods} of {each} with {self.concurrency} slots: {slots:,} deliveries in hand at most"


@dataclass(frozen=True, slots=True)
class Fit:
    """The finding on one API. ``detail``: the figures, or what to do."""

    api: str
    ok: bool
    detail: str


def fits(size: FleetSize, budgets: Mapping[str, int | None], pools: Mapping[str, int]) -> Iterator[Fit]:
    """Compare each budget with the fleet, and each pool with what the fleet may ask of its API at once."""
    for api, budget in budgets.items():
        pool, variable = pools.get(api), f"NS_{api.upper()}_BUDGET"
        most = budget or round(MOST) * size.workers
        asks = f"up to {most:,} calls at once" + (
            "" if budget else f", {MOST:g} by each process, as no {variable} is set"
        )
        if budget is not None and budget < size.workers:
            yield Fit(
                api, ok=False, detail=f"{variable}={budget} is less than one call for each of {size.workers} processes"
            )
        elif pool is not None and most > pool:
            yield Fit(api, ok=False, detail=f"{asks}; its pool has {pool:,}: set {variable}={pool} or less")
        else:
            behind = f"; its pool has {pool:,}" if pool is not None else ""
            each = f", {budget / size.workers:.3g} for each process" if budget else ""
            yield Fit(api, ok=True, detail=f"{asks}{each}{behind}")
