"""What goes wrong in one seed, and how often: some seeds have much of one fault, others a little of each."""

from random import Random

FATES = (
    "kill before",
    "kill after",
    "freeze before",
    "freeze after",
    "refused",
    "lost",
    "late",
    "twice",
    "drop",
)
"""Of one step on its way out of a worker and back.

kill: the worker ends, right before the step or right after it · freeze: it stands still for a while there
refused: not done, and it is told · lost: done, and it is not told · late: it is told, and it is done after that
twice: done two times · drop: the connection to the broker is gone, and all that it had given comes again
"""

OFTEN = {"kill": (0.004, 4), "freeze": (0.004, 3), "drop": (0.01, 6), "twice": (0.05, 20)}
"""How often in how many steps, and how many times at most in one seed."""

SPOILS = (0.05, 10_000)
DELAYS = (0.0, 0.0, 0.002, 0.02, 0.25, 1.5)
CALM = 90.0
"""Seconds after which nothing goes wrong any more, so that there is an end."""


class Faults:
    def __init__(self, dice: Random) -> None:
        self.dice = dice
        self.slow = dice.choice((0.0, 0.2, 0.6))
        self.patient = dice.random() < 0.03
        """Something is away for longer than a step is kept in hand."""
        self._left: dict[str, int] = {}
        self._fates: list[tuple[float, str]] = []
        self.often = 0.0
        for fate in FATES:
            kind = fate.split()[0]
            share, most = OFTEN.get(kind, SPOILS)
            self.often += share * dice.choice((0.0, 0.0, 0.2, 1.0))
            self._fates.append((self.often, fate))
            self._left[kind] = most

    def fate(self, at: float) -> str:
        """Of the next step: mostly none."""
        number = self.dice.random()
        if number >= self.often or at > CALM:
            return ""
        fate = next(name for share, name in self._fates if number < share)
        kind = fate.split()[0]
        if not self._left[kind]:
            return ""
        self._left[kind] -= 1
        return fate

    def delay(self) -> float:
        """Seconds on the way, of one step, one way."""
        return self.dice.choice(DELAYS) * 2 * self.dice.random() if self.dice.random() < self.slow else 0.0

    def stops(self) -> list[float]:
        """When a worker is asked to stop."""
        return [self.dice.uniform(0, CALM) for _ in range(self.dice.choice((0, 0, 1, 2)))]

    def moves(self) -> list[float]:
        """When dead letters are moved back, whatever else goes on."""
        return [self.dice.uniform(0, 2 * CALM) for _ in range(self.dice.choice((0, 0, 0, 1, 3)))]

    def handed_out(self) -> list[float]:
        """After so many seconds each, one that is moved back."""
        again = self.dice.choice((0.0, 0.01, 3.0, 40.0, 90.0))
        return [0.0, again] if self.dice.random() < 0.3 else [0.0]

    def outages(self) -> list[tuple[float, str, float]]:
        """When what is away for how long."""
        number = self.dice.choice((0, 0, 1, 2, 3))
        return [
            (self.dice.uniform(0, CALM), self.dice.choice(("store", "broker")), self._long()) for _ in range(number)
        ]

    def _long(self) -> float:
        return 320.0 if self.patient else self.dice.choice((0.5, 1.5, 3.0, 3.0, 8.0, 35.0))
