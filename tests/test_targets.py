"""Whom a unit reaches, whatever its records are: each by itself, within bounds, and of each only what is read."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notification_sender.channels.email import Email
from notification_sender.channels.webhook import Webhook
from notification_sender.checkpoint import STRETCH
from notification_sender.model.errors import SchemaViolation
from notification_sender.model.unit import WorkUnit
from notification_sender.targets import DestinationReader, Target, Targets
from tests.virtual import VirtualClock

NONE: Any = None  # nothing is sent
CHANNELS: Any = {
    "webhook": Webhook(
        transport=NONE, secrets=NONE, trust_store=NONE, tokens=NONE, clock=VirtualClock(), version="0", notices=NONE
    ),
    "email": Email(mailer=None, sender=None, clock=VirtualClock()),
}
HOOK = {"destination_id": "hook", "channel": "webhook", "url": "https://hooks.example/x"}
MAIL = {"destination_id": "mail", "channel": "email", "to": "noc@example.com"}


def unit(**fields: Any) -> WorkUnit:
    return WorkUnit.model_validate({"work_unit_id": "w", "organization_id": "o", "incident_id": "i", **fields})


def reached(offered: list[Any], most: int = 10_000, **fields: Any) -> list[Target]:
    targets = Targets(channels=CHANNELS, most=most, clock=VirtualClock())
    return asyncio.run(targets.select(unit(**fields), offered))


def ends(targets: list[Target]) -> dict[str, str]:
    """By destination: why it is told nothing, an empty text where it is told."""
    return {it.destination_id: it.end.reason if it.end else "" for it in targets}


CANNOT_BE = {
    "a text": "noc",
    "null": None,
    "nothing": {},
    "no id": {"channel": "webhook", "url": HOOK["url"]},
    "an id with a dot": HOOK | {"destination_id": "a.b"},
    "an id of 129": HOOK | {"destination_id": "a" * 129},
    "no channel": {"destination_id": "bad", "url": HOOK["url"]},
    "a channel that is not there": HOOK | {"destination_id": "bad", "channel": "sms"},
    "a channel that is a list": HOOK | {"destination_id": "bad", "channel": []},
    "no url": {"destination_id": "bad", "channel": "webhook"},
    "a url that is a number": HOOK | {"destination_id": "bad", "url": 7},
    "a url of 2,049": HOOK | {"destination_id": "bad", "url": "https://hooks.example/".ljust(2049, "x")},
    "a url of another kind": HOOK | {"destination_id": "bad", "url": "ftp://hooks.example/x"},
    "two recipients": MAIL | {"destination_id": "bad", "to": "a@b.example, c@d.example"},
    "a recipient of 5 MB": MAIL | {"destination_id": "bad", "to": "a" * 5_000_000},
    "a link of 5 MB": MAIL | {"destination_id": "bad", "unsubscribe_url": "https://b.example/" + "a" * 5_000_000},
    "a secret that is an object": HOOK | {"destination_id": "bad", "secret": {"whsec": "x"}},
    "a rate of nothing": HOOK | {"destination_id": "bad", "rate": {"per_minute": 0}},
    "a pattern of 257": HOOK | {"destination_id": "bad", "events": ["a" * 257]},
    "65 patterns": HOOK | {"destination_id": "bad", "events": ["*"] * 65},
    "patterns that are numbers": HOOK | {"destination_id": "bad", "events": [1] * 10_000},
    "a template that is a path": HOOK | {"destination_id": "bad", "template": "../x"},
}


@pytest.mark.parametrize("record", CANNOT_BE.values(), ids=CANNOT_BE)
def test_one_that_cannot_be_is_dead_by_its_name_and_takes_no_other_along(record: Any) -> None:
    named = "bad" if isinstance(record, dict) and record.get("destination_id") == "bad" else "unreadable-1"
    found = reached([HOOK, record, MAIL])
    assert ends(found) == {"hook": "", "mail": "", named: "schema"}
    [end] = [it.end for it in found if it.end]
    assert "destination 1" in end.detail  # type: ignore[union-attr]
    assert len(end.detail) < 2000  # type: ignore[union-attr]


@pytest.mark.parametrize("record", CANNOT_BE.values(), ids=CANNOT_BE)
def test_a_unit_of_which_no_destination_can_be_is_refused(record: Any) -> None:
    targets = Targets(channels=CHANNELS, most=10_000, clock=VirtualClock())
    with pytest.raises(SchemaViolation, match=r"destinations\.0"):
        asyncio.run(targets.check([record]))
    asyncio.run(targets.check([record, HOOK]))


def test_whom_the_unit_does_not_ask_for_is_not_dead_either() -> None:
    bad = HOOK | {"destination_id": "bad", "url": 7}
    assert ends(reached([bad], channels=["email"])) == {}
    assert ends(reached([bad], destination_ids=["other"])) == {}
    assert ends(reached([bad | {"enabled": False}])) == {}
    assert ends(reached([bad | {"channel": "sms"}], channels=["email"])) == {}
    assert ends(reached([bad | {"channel": "sms"}], channels=["email"], destinations=[])) == {"bad": "schema"}
    assert ends(reached([bad], channels=["webhook"], destination_ids=["bad"])) == {"bad": "schema"}


def test_of_two_with_one_id_the_first_that_can_be_is_told() -> None:
    broken = HOOK | {"url": 7}
    found = reached([broken, HOOK, HOOK | {"url": "https://hooks.example/y"}])
    assert ends(found) == {"hook": "", "unreadable-0": "schema", "unreadable-2": "schema"}
    assert found[0].destination.extra["url"] == HOOK["url"]


FIELDS = {
    "destination_id": st.text(max_size=3) | st.sampled_from(["a", "b", "c"]),
    "channel": st.sampled_from(["webhook", "email", "sms", None, 7]),
    "url": st.sampled_from([HOOK["url"], "x" * 3000, None, 7]),
    "to": st.sampled_from([MAIL["to"], "nobody", None]),
    "events": st.none() | st.lists(st.text(max_size=300), max_size=70),
    "enabled": st.booleans() | st.text(max_size=2),
    "notes": st.just("n" * 10_000),
    "template": st.none() | st.text(max_size=3),
    "rate": st.none() | st.dictionaries(st.sampled_from(["per_minute", "burst"]), st.integers()),
}
RECORDS = st.fixed_dictionaries({}, optional=FIELDS) | st.none() | st.integers() | st.text(max_size=3)


@settings(deadline=None)
@given(st.lists(RECORDS, max_size=8))
def test_whatever_the_records_are_nobody_shares_a_name_and_only_what_is_read_is_kept(records: list[Any]) -> None:
    found = reached([*records, MAIL | {"destination_id": "good"}])
    names = [it.destination_id for it in found]
    assert len(names) == len(set(names))
    assert "good" in names
    for target in found:
        fields = CHANNELS[target.channel].fields if target.end is None else {}
        destination = target.destination
        assert destination.extra.keys() <= fields.keys()
        assert all(value is None or len(value) <= fields[name] for name, value in destination.extra.items())
        assert len(destination.model_dump_json()) < 64 * 256 * 12 + 2048 * 6 + 1000


def test_more_than_it_may_reach_is_a_named_end() -> None:
    many = [MAIL | {"destination_id": f"m-{number}"} for number in range(11)]
    assert len(reached(many[:10], most=10)) == 10
    with pytest.raises(SchemaViolation, match="of 11 more than 10 are reached"):
        reached(many, most=10)
    assert len(reached(many, most=10, destination_ids=["m-3"])) == 1


async def test_others_have_their_turn_while_records_are_read() -> None:
    clock, turns = VirtualClock(), 0

    class Slow(Email):
        """Takes its time to look at each, as long patterns or a busy machine make it."""

        def address(self, destination: Any) -> str:
            clock.jump(2 * STRETCH)
            return super().address(destination)

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    targets = Targets(
        channels=CHANNELS | {"email": Slow(mailer=None, sender=None, clock=clock)}, most=1000, clock=clock
    )
    beside = asyncio.create_task(other())
    many = [MAIL | {"destination_id": f"m-{number}"} for number in range(20)]
    assert len(await targets.select(unit(), many)) == 20
    assert turns >= 19
    with pytest.raises(SchemaViolation):
        await targets.check([MAIL | {"to": "nobody"}] * 20)
    assert turns >= 38
    beside.cancel()


def test_a_record_with_the_same_text_is_read_once_and_a_look_alike_is_not_taken_for_it() -> None:
    """1, 1.0 and true are equal in Python, and different in a record."""
    targets = DestinationReader(CHANNELS)
    record = {"destination_id": "d", "channel": "webhook", "url": "https://example.com/h"}
    assert targets(dict(record)) is targets(dict(record))
    on, one = targets(record | {"enabled": True}), targets(record | {"template": "intel"})
    assert on is not one
    with pytest.raises(SchemaViolation):
        targets(record | {"rate": {"per_minute": 60, "burst": 1.5}})
    assert targets(record | {"rate": {"per_minute": 60, "burst": 1}}).rate.burst == 1


def test_a_record_that_cannot_be_read_is_refused_each_time() -> None:
    targets = DestinationReader(CHANNELS)
    for _ in range(2):
        with pytest.raises(SchemaViolation):
            targets({"destination_id": "d", "channel": "webhook"})
    huge = {"destination_id": "d", "channel": "webhook", "url": "https://example.com/h", "note": 2**70}
    assert targets(huge) == targets(huge)


@pytest.mark.parametrize(
    "more",
    [{"url": f"https://example.com/{'x' * 2000}", "secret": "s" * 600}, {"events": ["*"]}, {"rate": {"per_minute": 1}}],
)
def test_what_may_be_long_is_read_each_time(more: dict[str, Any]) -> None:
    targets = DestinationReader(CHANNELS)
    record = HOOK | more
    with suppress(SchemaViolation):
        assert targets(record) is not targets(record)
    assert not targets._read


def test_fields_that_do_not_count_cost_nothing_and_change_nothing() -> None:
    """The writer of a record decides how long they are: to write them down for each unit would hold the loop."""
    targets = DestinationReader(CHANNELS)
    endless: dict[str, Any] = {}
    endless["itself"] = endless
    assert targets(HOOK | {"notes": endless}) is targets(HOOK)
