"""Any delay to the second from fixed-TTL queues: a delay is a sum of powers of two, one queue for each.

A message enters at the highest rung whose bit is set, waits that rung's TTL, and falls to the next set bit
by its routing key. No queue holds two different TTLs, so nobody waits behind a longer one.

=====  ======  =====================
rung   TTL     routing key for 5 s (bits 2 and 0), lane "units"
=====  ======  =====================
17     36.4 h  0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.1.units
…              (highest bit first: one word a rung)
0      1 s
=====  ======  =====================
"""

RUNGS = 18
LONGEST = (1 << RUNGS) - 1
"""Seconds: 3 days. What is due later is parked again when it comes back."""


def whole_seconds(delay: float) -> int:
    """What the ladder waits; the rest of a second is slept by whoever takes the message. Never later than due."""
    return max(0, min(int(delay), LONGEST))


def routing_key(seconds: int, lane: str) -> str:
    """The bits of the delay, highest first, then where it falls out."""
    if not 0 <= seconds <= LONGEST:
        raise ValueError(f"{seconds} s is outside the ladder (0 to {LONGEST} s)")
    bits = format(seconds, f"0{RUNGS}b")
    return ".".join((*bits, lane))


def binding(rung: int, *, waits: bool) -> str:
    """The pattern by which rung's exchange sends a message into its queue, or on to the next rung."""
    words = ["*"] * RUNGS
    words[RUNGS - 1 - rung] = "1" if waits else "0"
    return ".".join((*words, "#"))
