"""Whether an override can be followed. A broken one in Redis must keep nobody from following the others."""

import re

from notification_sender.model.override import CLOSED, LONGEST_OVERRIDE, OPEN, Override, PauseScope
from notification_sender.policy.rates import rate_of

SPARE = 1.0
"""Seconds by which an override may seem longer than the longest, because its times are rounded."""

LONGEST_TEXT = 200
"""Characters of a name, a value or a note."""

_ID = re.compile(r"[A-Za-z0-9_:-]{1,128}")
_CIRCUIT = re.compile(r"api/[A-Za-z0-9_:-]{1,128}|host/(?:\*|[A-Za-z0-9_:-]{1,128})/[^/\s]{1,300}")


def check(override: Override) -> None:
    """Check what its kind asks of an override.

    Raises:
        ValueError: says what is wrong.
    """
    # False also where one of them is no number.
    if not 0 < override.since < override.until <= override.since + LONGEST_OVERRIDE + SPARE:
        raise ValueError(f"its times are {override.since} and {override.until}")
    match override.kind:
        case "pause":
            _check_scope(PauseScope.of(override.subject))
        case "off":
            scope = PauseScope.of(override.subject)
            _check_scope(scope)
            if not scope.destination_id:
                raise ValueError(f"{override.subject!r} is no destination")
        case "rate":
            _check_ids(override.subject.split("/"), 2)
            rate_of(override)
        case "circuit":
            _check_circuit(override)


def readable(text: object) -> str:
    """A name or a note for people: what cannot be printed is left out.

    Raises:
        ValueError: it is no text.
    """
    if not isinstance(text, str):
        raise ValueError(f"{type(text).__name__} in place of a text")  # noqa: TRY004 - the reader expects one error
    return "".join(filter(str.isprintable, text))[:LONGEST_TEXT]


def _check_circuit(override: Override) -> None:
    if not (_CIRCUIT.fullmatch(override.subject) and override.subject.isprintable()):
        raise ValueError(f"{override.subject!r} is no circuit")
    if override.value not in {OPEN, CLOSED}:
        raise ValueError(f"{override.value!r} is neither {OPEN} nor {CLOSED}")


def _check_scope(scope: PauseScope) -> None:
    named = [it for it in (scope.organization_id, scope.destination_id, scope.channel) if it]
    _check_ids(named, len(named))


def _check_ids(ids: list[str], number: int) -> None:
    if len(ids) != number or not all(map(_ID.fullmatch, ids)):
        raise ValueError(f"{'/'.join(ids)!r} has an id that cannot be one")
