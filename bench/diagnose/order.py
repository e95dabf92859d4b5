"""In which order the stretches come: a shuffle of a seed, which is printed."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


def in_order(faults: Sequence[T], healthy: int, seed: int) -> list[T | None]:
    """Each fault once, and so many healthy stretches (None) among them."""
    stretches: list[T | None] = [*faults, *[None] * healthy]
    Random(seed).shuffle(stretches)
    return stretches
