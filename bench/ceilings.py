"""Ceilings of what a message of the full job takes: ``make bench`` judges by them, and a test fails above them.

The figures depend on the code and its libraries, not on the machine (see ``bench.counting``). To lower a ceiling, run
``pytest -s tests/e2e/test_costs.py``, which prints the figures, and write them here; function calls with 1 % on top.
A commit that raises one says what a message gets for it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.counting import Counts

FUNCTION_CALLS = 1205.0
"""Functions of Python, and those of C that Python calls, of a webhook that is alone in hand and has its facts at hand:
1,190 when this was written, 1,195 on a machine that was very busy.
"""

SCRIPTS = 3.0
"""Calls to Redis: claim, admit, settle."""

TASKS = 2.0

FRAMES_SENT = 4.0
"""To RabbitMQ: the ack is one, the event three."""

FRAMES_RECEIVED = 3.0
"""From RabbitMQ: the delivery is three."""

TOLERANCE = 0.1
"""Of what is counted in ones: what time brings may fall into a short run (a task every second, a claim renewed)."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A figure, a message, and its ceiling."""

    name: str
    value: float
    most: float
    details: str = ""

    @property
    def good(self) -> bool:
        return self.value <= self.most + (TOLERANCE if self.most < 100 else 0.0)

    def __str__(self) -> str:
        value = f"{self.value:,.0f}" if self.most >= 100 else f"{self.value:.2f}"
        verdict = "as expected" if self.good else "NOT AS EXPECTED"
        return f"{self.name} a message: {value}{self.details} (at most {self.most:,g}: {verdict})"


def judged(counts: Counts) -> Iterator[Judged]:
    """Each figure that has a ceiling."""
    yield Judged("function calls", counts.calls, FUNCTION_CALLS, f", {counts.python:,.0f} of them of Python")
    yield Judged("calls to Redis", sum(counts.scripts.values()), SCRIPTS, _named(counts.scripts))
    yield Judged("tasks", counts.tasks, TASKS)
    yield Judged("AMQP frames sent", sum(counts.sent.values()), FRAMES_SENT, _named(counts.sent))
    yield Judged("AMQP frames received", sum(counts.received.values()), FRAMES_RECEIVED, _named(counts.received))


def _named(numbers: Mapping[str, float]) -> str:
    return f" ({', '.join(f'{name} {number:.2f}' for name, number in numbers.items() if round(number, 2))})"
