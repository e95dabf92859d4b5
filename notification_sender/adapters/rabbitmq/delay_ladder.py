"""Delays to the second from fixed-TTL queues: a delay is a sum of powers of two, and each power has one queue.

A message enters at the highest rung whose bit is set, waits that rung's TTL, and falls to the next set bit
by its routing key. All messages of a queue have one TTL, so no message waits behind a longer one.

=====  ======  =====================
rung   TTL     routing key for 5 s (bits 2 and 0), lane "units"
=====  ======  =====================
17     36.4 h  0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.1.units
…              (highest bit first: one word a rung)
0      1 s
=====  ======  =====================
"""

RUNGS = 18
MAX_DELAY = (1 << RUNGS) - 1
"""Seconds: 3 days. A message that is due later is parked again when it leaves the ladder."""

SPARE = 0.5
"""Seconds that a message leaves the ladder before it is due, because a busy broker is late by some tenths of a second.
A message that returns late for a rate limit loses its slot to others."""

SHORTEST_WITH_SPARE = 2.0
"""Seconds of delay from which on ``SPARE`` is subtracted."""


def whole_seconds(delay: float) -> int:
    """The seconds that the ladder waits. The consumer sleeps the rest, up to ``SPARE`` plus one second.

    A delay of less than two seconds gets no spare: the consumer would have to sleep all of it.
    """
    spare = SPARE if delay >= SHORTEST_WITH_SPARE else 0.0
    return max(0, min(int(delay - spare), MAX_DELAY))


def routing_key(seconds: int, lane: str) -> str:
    """The bits of the delay, highest first, then the lane."""
    if not 0 <= seconds <= MAX_DELAY:
        raise ValueError(f"a delay of {seconds} s is outside the ladder (0 to {MAX_DELAY} s)")
    bits = format(seconds, f"0{RUNGS}b")
    return ".".join((*bits, lane))


def binding(rung: int, *, waits: bool) -> str:
    """The binding pattern of a rung's exchange: into its queue (``waits``), or on to the next rung."""
    words = ["*"] * RUNGS
    words[RUNGS - 1 - rung] = "1" if waits else "0"
    return ".".join((*words, "#"))
