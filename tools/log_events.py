"""docs/reference/log-events.md: every event that a worker logs, and every field."""

from collections import defaultdict
from collections.abc import Iterator

from tools.log_calls import LEVELS_BY_WEIGHT, SPREAD, Logged, logged
from tools.log_words import EVENTS, FIELDS
from tools.tables import table

HEAD = """\
# Log events

<!-- Written by `make docs` from the code and tools/log_words.py: change these. -->

Which events does a worker log, and what do their fields mean? The log is one JSON object a line on standard error, or
text (`NS_LOG_FORMAT`). Every line has `event`, `level` and `timestamp` (UTC). `NS_LOG_LEVEL` leaves out lower levels.

No line has a secret, an address of a recipient, the content of a notification or the text of an internal API's record.
"""

RECORD_HEAD = """
## The record of an attempt

The end of every attempt is one line with all that is known of it. The [events](events.md) on RabbitMQ have the same
fields. An unknown field is left out.
"""

TITLES = {
    "unit": "Work units and notifications",
    "notification": "Work units and notifications",
    "destination": "Destinations and recipients",
    "host": "Destinations and recipients",
    "email": "Destinations and recipients",
    "nameserver": "Destinations and recipients",
    "template": "Templates",
    "api": "Internal APIs",
    "budget": "Internal APIs",
    "relevance": "Internal APIs",
    "redis": "Redis",
    "pubsub": "Redis",
    "clock": "Redis",
    "claim": "Claims and acceptances",
    "acceptance": "Claims and acceptances",
    "process": "Several processes",
}
"""Of a section, by the first part of an event."""

OTHERS = {"RabbitMQ": ("broker", "lane", "lanes", "delivery", "ack", "channel", "events", "topology", "unroutable")}
TITLES |= {first: title for title, firsts in OTHERS.items() for first in firsts}
REST = "The worker"


def page() -> str:
    """The whole page.

    Raises:
        ValueError: the code logs an event or a field without a meaning, or a meaning has no event.
    """
    events = _by_name()
    fields = {it for logs in events.values() for one in logs for it in one.fields}
    for what, known, used in (("event", EVENTS, set(events)), ("field", FIELDS, fields)):
        if known.keys() != used:
            missing, unused = sorted(used - known.keys()), sorted(known.keys() - used)
            raise ValueError(f"tools/log_words.py: {what}s without a meaning: {missing}; that nobody logs: {unused}")
    return "\n".join((HEAD + RECORD_HEAD, *_record(), *_events(events), *_fields(fields), ""))


def _by_name() -> dict[str, list[Logged]]:
    events: dict[str, list[Logged]] = defaultdict(list)
    for it in logged():
        events[it.name].append(it)
    return dict(sorted(events.items()))


def _record() -> Iterator[str]:
    yield from table(("field", "unit", "meaning"), _meanings(SPREAD["known"]))


def _events(events: dict[str, list[Logged]]) -> Iterator[str]:
    for title in (*dict.fromkeys(TITLES.values()), REST):
        own = {name: it for name, it in events.items() if TITLES.get(name.partition(".")[0], REST) == title}
        yield from ("", f"## {title}", "")
        yield from table(("event", "level", "fields", "meaning"), (_row(name, it) for name, it in own.items()))


def _row(name: str, logs: list[Logged]) -> tuple[str, ...]:
    levels = {level for it in logs for level in it.levels}
    fields = {field for it in logs for field in it.fields}
    whole = fields >= SPREAD["known"]
    texts = [f"`{it}`" for it in sorted(fields - SPREAD["known"] if whole else fields)]
    if whole:
        texts.insert(0, "[the record](#the-record-of-an-attempt)")
    shown = [level for level in LEVELS_BY_WEIGHT if level in levels]
    return f"`{name}`", " or ".join(shown), ", ".join(texts), EVENTS[name]


def _fields(fields: set[str]) -> Iterator[str]:
    yield from ("", "## Other fields", "")
    yield from table(("field", "unit", "meaning"), _meanings(frozenset(fields - SPREAD["known"])))


def _meanings(fields: frozenset[str]) -> Iterator[tuple[str, ...]]:
    for name in sorted(fields):
        unit, meaning = FIELDS[name]
        yield f"`{name}`", unit, meaning
