"""What stands in Redis as if another program, another version or a hand had written it: overrides, and stories."""

import json
from typing import Any

from notification_sender.model.notification import notification_id
from notification_sender.model.unit import WorkUnit
from tests.strangers.draft import Draft, Family

overrides = Family("override")
stories = Family("story")

WELL = frozenset({"delivered"})
RECENT = {"since": 1.0, "until": 2.0, "by": "x", "value": "", "note": ""}
TEXTS = ("\ud83d", "\x1b[2J\x1b]0;x\x07", "\u202e", "\x00", "é" * 300, "{overrides}", "}:active", "a/b/c", " ", "*", "")
NUMBERS = ("1e999", "-1", "NaN", '"soon"', "null", "[]", "{}", "true", "9" * 4000, "1e308", '"\\ud83d"')
NO_OBJECTS = (b"", b"null", b"7", b"[]", b'"a"', b"{", b"\xff\xfe", b"\xef\xbb\xbf{}", b"[" * 50_000, b"\x00" * 100)
KINDS = ("pause", "off", "rate", "circuit")


def _override(odd: Draft, name: str, value: bytes) -> None:
    """One field of the hash that every process reads. Nobody may follow it, and nobody may be kept from anything."""
    odd.stored.append(("HSET", "{overrides}:active", name.encode(errors="surrogatepass"), value))
    odd.ends = WELL


def _subject(odd: Draft, kind: str) -> str:
    """One that concerns the case."""
    subjects = {
        "pause": ("all", f"organization/{odd.whose}", "channel/webhook", f"channel/{odd.whose}/webhook"),
        "off": (f"destination/{odd.whose}/{odd.destination['destination_id']}",),
        "rate": (f"{odd.whose}/webhook",),
        "circuit": ("api/aaa", "api/incidents", "host/*/127.0.0.1"),
    }
    return odd.dice.choice(subjects[kind])


@overrides.kind
def a_value_that_is_no_object(odd: Draft) -> None:
    kind = odd.dice.choice(KINDS)
    _override(odd, f"{kind}/{_subject(odd, kind)}", odd.dice.choice(NO_OBJECTS))


@overrides.kind
def times_that_are_none(odd: Draft) -> None:
    kind, broken = odd.dice.choice(KINDS), odd.dice.choice(("since", "until"))
    text = json.dumps(RECENT | {"until": 2e9, broken: "@"}).replace('"@"', odd.dice.choice(NUMBERS))
    _override(odd, f"{kind}/{_subject(odd, kind)}", text.encode())


@overrides.kind
def an_end_before_the_beginning_or_in_a_thousand_years(odd: Draft) -> None:
    kind = odd.dice.choice(KINDS)
    since, until = odd.dice.choice(((2e9, 1e9), (1.0, 3e10), (-5.0, 3e9), (0.0, 0.0), (3e10, 4e10)))
    facts = RECENT | {"since": since, "until": until, "value": "open"}
    _override(odd, f"{kind}/{_subject(odd, kind)}", json.dumps(facts).encode())


@overrides.kind
def a_missing_or_a_wrong_field(odd: Draft) -> None:
    kind, name = odd.dice.choice(KINDS), odd.dice.choice(("since", "until", "by", "value", "note"))
    facts: dict[str, Any] = RECENT | {"until": 2e9, name: odd.dice.choice(([], {}, None, 7, True, {"a": [1]}))}
    if odd.dice.random() < 1 / 2:
        del facts[name]
    _override(odd, f"{kind}/{_subject(odd, kind)}", json.dumps(facts).encode())


@overrides.kind
def a_value_that_its_kind_does_not_have(odd: Draft) -> None:
    kind = odd.dice.choice(("rate", "circuit"))
    value = odd.dice.choice(("", "ajar", "OPEN", "0/minute", "-1/second", "9" * 400 + "/minute", "1/fortnight", *TEXTS))
    _override(odd, f"{kind}/{_subject(odd, kind)}", json.dumps(_now(odd) | {"value": value}).encode())


@overrides.kind
def a_subject_that_is_none(odd: Draft) -> None:
    kind, text = odd.dice.choice((*KINDS, "", "nobody-knows", "pause\x00")), odd.dice.choice(TEXTS)
    place = odd.dice.choice((text, f"organization/{text}", f"destination/{odd.whose}/{text}/", f"channel/{text}/", "x"))
    _override(odd, f"{kind}/{place}", json.dumps(_now(odd) | {"value": "open"}).encode())


@overrides.kind
def a_name_or_a_note_of_any_size(odd: Draft) -> None:
    text = odd.dice.choice(("x", "é", "\u202e", "\x1b[31m", "\ud83d")) * odd.dice.choice((1, 1000, 200_000))
    field = odd.dice.choice(("by", "note"))
    _override(odd, f"off/destination/{odd.whose}/nobody-{odd.number}", json.dumps(_now(odd) | {field: text}).encode())


@overrides.kind
def a_subject_of_any_size(odd: Draft) -> None:
    name = odd.dice.choice(("x", "é", "/", "\x00")) * odd.dice.choice((129, 5000, 100_000))
    _override(odd, f"pause/organization/{name}", json.dumps(_now(odd)).encode())


@overrides.kind
def ends_of_pauses_that_are_no_numbers(odd: Draft) -> None:
    """In the hash that ``admit.lua`` reads."""
    names = ("organization", "channel/webhook", f"destination/{odd.destination['destination_id']}")
    names += (f"off/{odd.destination['destination_id']}", "", "\x00", "é" * 5000)
    text = odd.dice.choice(("soon", "", "-1", "0x10", "1e999", "nan", "inf", "9" * 400, "\x00", "12 13"))
    odd.stored.append(("HSET", f"{{{odd.whose}}}:pauses", odd.dice.choice(names), text))
    odd.ends = WELL


@overrides.kind
def pauses_that_are_no_hash(odd: Draft) -> None:
    """No end of a pause can be read there, so nothing is held back."""
    odd.ends = WELL
    command = odd.dice.choice((("SET", "x"), ("RPUSH", "x"), ("SADD", "x")))
    odd.stored.append((command[0], f"{{{odd.whose}}}:pauses", command[1]))


def _now(odd: Draft) -> dict[str, Any]:
    """The facts of an override that would hold now."""
    return RECENT | {"since": odd.now, "until": odd.now + 3600.0}


def _story(odd: Draft) -> str:
    """The key of its unit's story, or of its notification's."""
    id_ = notification_id(WorkUnit.model_validate(odd.unit), odd.destination["destination_id"])
    odd.ends = WELL
    unit = f"{{{odd.whose}}}:unit-story:{odd.unit['work_unit_id']}"
    return odd.dice.choice((unit, f"{{{odd.whose}}}:notification:{id_}:story"))


@stories.kind
def lines_that_are_no_objects(odd: Draft) -> None:
    odd.stored.append(("RPUSH", _story(odd), *odd.dice.sample(NO_OBJECTS, 3)))


@stories.kind
def fields_of_any_type(odd: Draft) -> None:
    names = (
        "t",
        "at",
        "until",
        "since",
        "times",
        "process",
        "step",
        "outcome",
        "reason",
        "attempt",
        "work_unit_id",
        "ms",
    )
    values: tuple[Any, ...] = (None, [], {}, "", "soon", True, -1, 10**30, 1e308, [[1]], {"a": 1}, "\ud83d", "\x1b[2J")
    events = [{it: odd.dice.choice(values) for it in odd.dice.sample(names, 6)} for _ in range(5)]
    odd.stored.append(("RPUSH", _story(odd), *(json.dumps(it).encode() for it in events)))


@stories.kind
def a_line_of_megabytes(odd: Draft) -> None:
    event = {"step": "send", "t": 1.0, "error": odd.dice.choice(("x", "é", "\x00")) * 1_000_000}
    odd.stored.append(("RPUSH", _story(odd), json.dumps(event).encode()))


@stories.kind
def lines_by_the_ten_thousand(odd: Draft) -> None:
    line = b'{"step":"claim","outcome":"deferred","process":"x","t":1}'
    odd.stored.append(("RPUSH", _story(odd), *[line] * 10_000))


@stories.kind
def a_story_that_is_no_list(odd: Draft) -> None:
    command = odd.dice.choice((("SET", "x"), ("SADD", "x"), ("HSET", "x", "y")))
    odd.stored.append((command[0], _story(odd), *command[1:]))
