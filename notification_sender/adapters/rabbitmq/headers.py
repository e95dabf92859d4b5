"""Writes the headers of our messages, and reads the headers of any publisher's messages."""

import math
import os
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from notification_sender.adapters.rabbitmq.deliveries import Delivery
from notification_sender.model.timestamps import format_rfc3339, parse_rfc3339
from notification_sender.model.trace import TraceContext, parse_traceparent
from notification_sender.ports.broker import COUNTED, DeadLetter, Envelope, Lane, MessageState, Parked, Wait
from notification_sender.ports.ledger import PAUSED
from notification_sender.telemetry.steps import reason_of

REASON = "x-reason"
DETAIL = "x-detail"
STAGE = "x-stage"
FIRST_SEEN = "x-first-seen"
ATTEMPT = "x-attempt"
MISSES = "x-misses"
DUE = "x-due"
REPLAYED = "x-replayed"
BUGS = "x-bugs"
PAUSED_MS = "x-paused"
WAITS_FOR = "x-waits-for"
WAITS_SINCE = "x-waits-since"
TRACEPARENT = "traceparent"
PREVIOUS_SPAN = "x-previous-span"
PUBLISHED = "timestamp_in_ms"
"""As RabbitMQ adds it where its interceptor of incoming messages is on."""

MAX_DETAIL_BYTES = 1024
"""Bytes of ``x-detail``. It is for the reader of a dead letter, and the broker keeps all headers in memory."""

MAX_DUE_MS = 2**52
"""Milliseconds since 1970 at most: Lua scripts compute in doubles, which hold integers up to 2**53."""

MAX_WAITS_SINCE = 2**53
"""Microseconds since 1970 at most: exact in a double."""

MAX_WAIT_STEPS = 64
"""Steps that headers may name: each is a series of a metric, and anybody may write headers."""

_WAIT_STEP = re.compile(r"(?:queue|throttle|retry)_wait|deferred\.[a-z_]{1,40}")
_wait_steps: set[str] = set()

Headers = dict[str, Any]


def parked_headers(parked: Parked, now: float) -> Headers:
    """The headers of a parked message. Its former headers are not copied: RabbitMQ would act on ``x-death``."""
    state = parked.state
    headers: Headers = {
        ATTEMPT: state.attempt,
        MISSES: state.misses,
        FIRST_SEEN: format_rfc3339(state.first_seen, "milliseconds"),
        DUE: math.ceil((now + parked.delay) * 1000),
    }
    if state.replays:
        headers[REPLAYED] = state.replays
    if state.bugs:
        headers[BUGS] = state.bugs
    if state.paused:
        headers[PAUSED_MS] = round(1000 * state.paused)
    if state.trace is not None:
        headers |= trace_headers(state.trace)
    if parked.wait is not None:
        headers[WAITS_FOR], headers[WAITS_SINCE] = parked.wait.step, round(parked.wait.since * 1_000_000)
    return headers


def letter_headers(letter: DeadLetter) -> Headers:
    """The four headers of every dead letter, its number of replays if any, and its trace if any."""
    headers: Headers = {
        REASON: letter.reason,
        DETAIL: one_line(letter.detail),
        STAGE: letter.stage,
        FIRST_SEEN: format_rfc3339(letter.state.first_seen, "milliseconds"),
    }
    if letter.state.replays:
        headers[REPLAYED] = letter.state.replays
    if letter.state.trace is not None:
        headers |= trace_headers(letter.state.trace)
    return headers


def trace_headers(trace: TraceContext) -> Headers:
    """What a message needs for the next span to continue this one."""
    previous = {PREVIOUS_SPAN: trace.previous} if trace.previous else {}
    return {TRACEPARENT: trace.traceparent, **previous}


def delivered(lane: Lane, delivery: Delivery, now: float) -> Envelope:
    """The envelope of a delivery of RabbitMQ. The delivery itself is the tag."""
    return envelope(lane, delivery.body, delivery.headers, delivery, now, delivery.fault, delivery.published)


def envelope(  # noqa: PLR0917 - the parts of a delivery
    lane: Lane,
    body: bytes,
    headers: Mapping[str, Any] | None,
    tag: object,
    now: float,
    fault: str = "",
    published: float = 0.0,
) -> Envelope:
    """The envelope of one delivery. An invalid header counts as missing. ``fault``: why no header can be read.
    ``published``: when the message says that it was published, epoch time; 0 where it does not.

    A replay starts from the beginning: many letters are dead because of their age since ``x-first-seen``.
    """
    token = os.urandom(8).hex()
    if not headers:
        waited = now - published if 0 < published < now else 0.0
        return Envelope(lane, body, token, MessageState(now), 0.0, tag, fault, waited=waited)
    replays, wait, trace = _count(headers.get(REPLAYED), least=0), _wait(headers), None
    if TRACEPARENT in headers:
        trace = parse_traceparent(headers[TRACEPARENT], headers.get(PREVIOUS_SPAN))
    if REASON in headers:
        state = MessageState(now, replays=min(replays + 1, COUNTED), trace=trace)
        return Envelope(lane, body, token, state, 0.0, tag)
    due = _count(headers.get(DUE), least=0, most=MAX_DUE_MS) / 1000
    state = MessageState(
        first_seen=parse_first_seen(headers.get(FIRST_SEEN), now),
        attempt=_count(headers.get(ATTEMPT), least=1),
        misses=_count(headers.get(MISSES), least=0),
        replays=replays,
        bugs=_count(headers.get(BUGS), least=0),
        paused=_count(headers.get(PAUSED_MS), least=0, most=MAX_DUE_MS) / 1000 + _paused(wait, due, now),
        trace=trace,
    )
    published = _count(headers.get(PUBLISHED), least=0, most=MAX_DUE_MS) / 1000 or published
    sight = due or (state.first_seen if FIRST_SEEN in headers else published) or now
    return Envelope(lane, body, token, state, due, tag, wait=wait, waited=max(now - sight, 0.0))


def _paused(wait: Wait | None, due: float, now: float) -> float:
    """Seconds for which a pause has held this copy. One without a time at which it is due was moved by an operator."""
    if wait is None or reason_of(wait.step) != PAUSED:
        return 0.0
    return max(min(now, due or now) - wait.since, 0.0)


def _wait(headers: Mapping[str, Any]) -> Wait | None:
    step, since = headers.get(WAITS_FOR), _count(headers.get(WAITS_SINCE), least=0, most=MAX_WAITS_SINCE)
    if not isinstance(step, str) or not since or not _WAIT_STEP.fullmatch(step):
        return None
    if len(_wait_steps) < MAX_WAIT_STEPS:
        _wait_steps.add(step)
    known = step in _wait_steps or not step.startswith("deferred.")
    return Wait(step if known else "deferred.other", since / 1_000_000)


def one_line(text: str) -> str:
    """Remove control characters and lone surrogates, and cut the text to the size of a header."""
    # Reads twice the size, because characters that cannot be printed are removed.
    printable = "".join(filter(str.isprintable, " ".join(text[: 2 * MAX_DETAIL_BYTES].split())))
    return printable.encode()[:MAX_DETAIL_BYTES].decode(errors="ignore")


def _count(value: object, *, least: int, most: int = COUNTED) -> int:
    # Some consoles write every header as a string when they move a message.
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= len(str(most)):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    return least


def parse_first_seen(value: object, now: float) -> float:
    """Epoch seconds of an RFC 3339 string, an AMQP timestamp or a number; ``now`` for a future or invalid value."""
    if isinstance(value, str):
        value = parse_rfc3339(value, zoned=True)
    if isinstance(value, datetime):
        value = value.timestamp() if value.tzinfo else None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < now:
        return float(value)
    return now
