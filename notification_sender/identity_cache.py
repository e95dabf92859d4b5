"""Remembers what was made of an object, by the identity of the object."""

from collections.abc import Callable
from typing import Generic, TypeVar

Source = TypeVar("Source")
Made = TypeVar("Made")


class IdentityCache(Generic[Source, Made]):
    """``make``, called once for each of the last ``most`` objects. The objects do not change.

    By identity: to compute the hash of a model takes longer than most of what is made of it. ``small``: whether an
    object may be kept. A stranger may have decided its size.
    """

    def __init__(
        self, make: Callable[[Source], Made], most: int, *, small: Callable[[Source], bool] = lambda _: True
    ) -> None:
        self._make = make
        self._small = small
        self._most = most
        self._made: dict[int, tuple[Source, Made]] = {}
        """With the object: its identity would be that of another one when it is gone."""

    def __call__(self, source: Source) -> Made:
        """Raises what ``make`` raises, and remembers nothing then."""
        identity = id(source)
        if identity in self._made:
            return self._made[identity][1]
        made = self._make(source)
        if not self._small(source):
            return made
        while len(self._made) >= self._most:
            del self._made[next(iter(self._made))]
        self._made[identity] = (source, made)
        return made
