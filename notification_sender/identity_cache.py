"""Remembers what was made of an object, by the identity of the object."""

from collections.abc import Callable
from typing import Generic, TypeVar

Source = TypeVar("Source")
Made = TypeVar("Made")


class IdentityCache(Generic[Source, Made]):
    """``make``, called once for each of the last ``most`` objects. The objects do not change.

    By identity: to compute the hash of a model takes longer than most of what is made of it.
    """

    def __init__(self, make: Callable[[Source], Made], most: int) -> None:
        self._make = make
        self._most = most
        self._made: dict[int, tuple[Source, Made]] = {}
        """With the object: its identity would be that of another one when it is gone."""

    def __call__(self, source: Source) -> Made:
        """Raises what ``make`` raises, and remembers nothing then."""
        found = self._made.get(id(source))
        if found is not None:
            return found[1]
        made = self._make(source)
        while len(self._made) >= self._most:
            del self._made[next(iter(self._made))]
        self._made[id(source)] = (source, made)
        return made
