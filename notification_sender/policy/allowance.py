"""How many deliveries a process works on at once: as many as its event loop bears; the others are for other pods.

Additive increase, multiplicative decrease, after a start that doubles, as for the calls of an API. The measure is the
duration of one turn of the loop. Everything that is due waits for one or two turns: an answer of the broker, a lease,
a health check.
"""

from collections import deque

TURN = 0.025
"""Seconds that a turn may take: due work waits for two turns at most, 50 ms."""

START, LEAST = 32, 4
"""Deliveries at the start, and at least, however long the turns are."""

LOOKS = 100
"""Turns of which one may be too long: the 99th percentile."""

GOOD = 10
"""Good turns in a row after which the limit grows."""

DECREASE = 0.7

STEP = 0.04
"""Fraction of the most by which the limit grows, once it was too much."""

SLOWEST = 4.0
"""A turn counts as at most so many times its computing time. The rest are stops, as under a CPU limit: fewer deliveries
make no stop shorter, and leave nothing to do between them."""


class Allowance:
    """The ``limit`` of deliveries at once, never above ``most``."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = float(min(START, most))
        self._least = min(LEAST, most)
        self._doubling = True
        self._taken = 2 * most
        self._turns: deque[tuple[float, float]] = deque(maxlen=LOOKS)
        self._wall = self._cpu = 0.0
        """Sums of the turns."""
        self._good = 0

    @property
    def limit(self) -> int:
        return int(self._size)

    @property
    def shared(self) -> int:
        """The number of slots that organizations and destinations share: the most, until that was too much once. A
        small start is no reason to defer slow work.
        """
        return self._most if self._doubling else self.limit

    @property
    def taken(self) -> int:
        """Deliveries taken from a queue and not settled, at most: no other pod can have those that wait here.

        Twice the most, until that was too much once. Then a power of two, because each change costs calls of the
        broker; it shrinks only to a quarter or less.
        """
        return self._taken

    def record_turn(self, wall: float, cpu: float, *, used: int) -> None:
        """Record one turn of the loop (s) with ``used`` deliveries in hand. A limit that is half unused is not judged.

        A turn counts by its computing time, on the share of a processor that we get: a machine that stops us in the
        middle of a short turn does so however little we do.
        """
        self._add(wall, cpu)
        if 2 * used < self._size:
            self._good = 0
            return
        if self._too_long():
            self._size = max(self._least, self._size * DECREASE)
            self._doubling = False
            self._turns.clear()
            self._wall = self._cpu = 0.0
            self._good = 0
            self._fit()
        elif cpu * self._slowness() <= TURN:
            self._grow()

    def _add(self, wall: float, cpu: float) -> None:
        if len(self._turns) == LOOKS:
            first_wall, first_cpu = self._turns[0]
            self._wall -= first_wall
            self._cpu -= first_cpu
        self._turns.append((wall, cpu))
        self._wall += wall
        self._cpu += cpu

    def _too_long(self) -> bool:
        longest = TURN / self._slowness()
        return self._cpu > longest and sum(cpu > longest for _, cpu in self._turns) > 1

    def _slowness(self) -> float:
        """How many times longer than its computing a turn takes."""
        return min(max(self._wall / self._cpu, 1.0), SLOWEST) if self._cpu > 0 else 1.0

    def _grow(self) -> None:
        self._good += 1
        if self._good >= GOOD:
            self._good = 0
            self._size = min(self._most, 2 * self._size if self._doubling else self._size + self._most * STEP)
            self._fit()

    def _fit(self) -> None:
        wanted = 2 * self._most if self._doubling else min(2 * self._most, 1 << (2 * self.limit - 1).bit_length())
        if wanted > self._taken or 4 * wanted <= self._taken:
            self._taken = wanted
