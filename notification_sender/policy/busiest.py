"""Which organizations are the busiest, so that a metric names these and no others."""

from collections.abc import Collection, Mapping

HALF_LIFE_SECONDS = 600.0
"""A delivery counts half after so long."""

STAYING = 2.0
"""An organization with series of its own keeps them until another is so many times as busy: series rarely change."""

SMALLEST = 0.5
"""A lower count is forgotten: one delivery, ten minutes ago."""


def decayed(counts: Mapping[str, float], seconds: float) -> dict[str, float]:
    """The counts ``seconds`` later."""
    factor = 0.5 ** (seconds / HALF_LIFE_SECONDS)
    return {name: count * factor for name, count in counts.items() if count * factor >= SMALLEST}


def busiest(counts: Mapping[str, float], before: Collection[str], most: int) -> set[str]:
    """At most ``most`` of those that were counted. ``before``: those that were named so far."""

    def rank(name: str) -> tuple[float, str]:
        return counts[name] * (STAYING if name in before else 1.0), name

    return set(sorted(counts, key=rank, reverse=True)[:most])
