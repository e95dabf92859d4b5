"""The meter of one part of a notification: it counts steps, time and memory while the part is rendered.

Jinja counts nothing, and Python cannot interrupt a call into C. So the meter checks an operation that may take long
before it runs (``Meter.text``, ``number``, ``times``), and counts its result afterwards (``made``). A step takes about
as long as the lookup of one name.
"""

from collections.abc import Iterator
from itertools import islice
from time import thread_time
from typing import Any

from jinja2.filters import _GroupTuple
from jinja2.utils import Namespace
from markupsafe import Markup

MAX_STEPS = 750_000
"""Of one part: twice as many as the shipped email takes for a thousand records of each kind."""

SECONDS = 0.25
"""Of one part, CPU time of this thread: a busy machine must not make a template fail."""

MAX_TEXT = 1024 * 1024
"""Characters of one text that a template makes."""

MAX_BITS = 512
"""Of an integer. Calculating with a larger one takes long, and writing it longer."""

MAX_WIDTH = 1000
"""Of a text that is padded with blanks or digits."""

_CHECK_STEP = 1000
"""Steps between two readings of the clock, and before the first. Most parts end before it, and never read the clock."""

SHORT = 64
"""Characters of a text that is not counted."""
_SOME = 500
_FEW = 256
_DEEP = 100

VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))
CONTAINERS = frozenset({dict, list, tuple, _GroupTuple, *VIEWS})
TEXTS = frozenset({str, Markup})


class Refused(Exception):
    """A template exceeds a bound or uses a forbidden name. ``str()`` holds no value of the context."""


class Meter:
    """Meters the part that is rendered now. Rendering never awaits, so there is one part at a time."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self._spent = 0
        self._next_check = _CHECK_STEP
        self._until: float | None = None
        self._product = 1
        self.json: str | None = None
        """The last JSON object that ``tojson`` wrote: a part that consists of it need not be read again."""
        self.multiplied = False
        """Whether the template has built so much that one value may occur many times in it."""

    def spend(self, steps: int) -> None:
        """Count steps, before or after the work.

        Raises:
            Refused: the part exceeds its steps or its time.

        """
        self._spent += steps
        if self._spent > self._next_check:
            self._check()

    def _check(self) -> None:
        if self._spent > MAX_STEPS:
            raise Refused(f"more than {MAX_STEPS} steps")
        now = thread_time()
        if self._until is None:
            self._until = now + SECONDS
        if now > self._until:
            raise Refused(f"more than {SECONDS:g} s of work")
        self._next_check = self._spent + _CHECK_STEP

    # --- before an operation ---------------------------------------------------------------------------------------

    def text(self, size: int) -> None:
        """Check and count a text of ``size`` characters before it is made."""
        if size > MAX_TEXT:
            raise Refused(f"a text of more than {MAX_TEXT} characters")
        self.spend(size >> 4)

    def number(self, bits: int) -> None:
        """Check an integer of ``bits`` bits before it is made."""
        if bits > MAX_BITS:
            raise Refused(f"an integer of more than {MAX_BITS} bits")

    def width(self, width: object) -> None:
        if isinstance(width, int) and abs(width) > MAX_WIDTH:
            raise Refused(f"a width of more than {MAX_WIDTH}")

    def times(self, value: Any, count: int) -> None:
        """Check and count the repetition of a sequence before it is made."""
        if type(value) in TEXTS:
            self.text(len(value) * max(count, 0))
        else:
            self.spend(len(value) * max(count, 0))
            self._multiplied(max(count, 0))

    # --- after an operation ----------------------------------------------------------------------------------------

    def made(self, value: Any) -> Any:
        """Count the result of an operator, a filter or a call, and return it; an iterator becomes a list."""
        kind = type(value)
        if kind in TEXTS:
            if len(value) > SHORT:
                self.text(len(value))
        elif kind in CONTAINERS:
            self.spend(len(value))
            self._multiplied(len(value))
        elif kind is int:
            if value.bit_length() > MAX_BITS:
                self.number(value.bit_length())
        elif isinstance(value, Iterator):
            return self._listed(value)
        return value

    def _listed(self, values: Iterator[Any]) -> list[Any]:
        """Make a list in portions, and count each: a single value may take long to make."""
        made: list[Any] = []
        while some := list(islice(values, _SOME)):
            self.spend(len(some))
            made += some
        self._multiplied(len(made))
        return made

    def built(self, value: Any, leaves: int) -> Any:
        """Count a list, tuple or dict literal of a template with ``leaves`` expressions, and return it."""
        self.spend(leaves)
        self._multiplied(leaves)
        return value

    def each(self, values: Any, cost: int) -> Any:
        """Count the turns of a loop over ``values``, each with ``cost`` steps, and return the values."""
        if not hasattr(type(values), "__len__"):
            values = self._listed(iter(values))
        self.spend((1 + cost) * len(values))
        return values

    def _multiplied(self, members: int) -> None:
        if not self.multiplied:
            self._product *= members + 1
            self.multiplied = self._product > _FEW

    # --- operations that read a whole value ------------------------------------------------------------------------

    def used(self, *values: Any) -> None:
        """Count these values before an operation reads all of them.

        A list may hold the same list ten times, and so on ten levels deep. Writing or comparing it reads ten billion
        values. While a template has built little, a value cannot be much larger than the context. Afterwards the meter
        counts the members, each container once.
        """
        for value in values:
            kind = type(value)
            if kind in CONTAINERS:
                self.spend(len(value) >> 2)
                if self.multiplied:
                    self.spend(self._weight(value, {}, 0))
            elif kind in TEXTS and len(value) > SHORT:
                self.spend(len(value) >> 4)

    def _weight(self, value: Any, known: dict[int, tuple[int, Any]], depth: int) -> int:
        kind = type(value)
        if kind in TEXTS:
            return 1 + (len(value) >> 4)
        if kind not in CONTAINERS:
            return self._weight(_inside(value), known, depth) if kind is Namespace else 1
        found = known.get(id(value))
        if found is not None:
            return found[0]
        if depth > _DEEP:
            raise Refused(f"nested deeper than {_DEEP}")
        self.spend(len(value))
        members = [*value, *value.values()] if kind is dict else list(value)
        weight = 1
        for member in members:
            weight += self._weight(member, known, depth + 1)
            if weight > MAX_STEPS:
                self.spend(weight)
        # The entry keeps the members alive. Otherwise a new object could get the id of a freed one.
        known[id(value)] = (weight, (value, members))
        return weight


def _inside(namespace: Namespace) -> dict[str, Any]:
    return dict(object.__getattribute__(namespace, "_Namespace__attrs"))
