"""Who is told."""

import pytest

from notification_sender.model.destination import Destination
from notification_sender.model.errors import SchemaViolation
from notification_sender.model.unit import WorkUnit
from notification_sender.policy.destinations import check, matching_destinations

HOOK = Destination(destination_id="hook", channel="webhook")
MAIL = Destination(destination_id="mail", channel="email", events=("incident.*",))
OFF = Destination(destination_id="off", channel="webhook", enabled=False)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ["hook", "mail"]),
        ({"channels": ("email",)}, ["mail"]),
        ({"channels": ()}, []),
        ({"destination_ids": ("hook", "off", "unknown")}, ["hook"]),
        ({"event": "intel.updated"}, ["hook"]),
        ({"event": "incidentally"}, ["hook"]),
    ],
)
def test_a_unit_reaches_the_enabled_destinations_it_asks_for(fields: dict[str, object], expected: list[str]) -> None:
    unit = WorkUnit.model_validate({"work_unit_id": "w", "organization_id": "o", **fields})
    assert [it.destination_id for it in matching_destinations(unit, [HOOK, MAIL, OFF])] == expected


@pytest.mark.parametrize("events", [("a",) * 65, ("a" * 257,), ("[a]",), ("incident.*", "x[")])
def test_a_destination_whose_patterns_cannot_be_read_is_told_of_nothing_and_named(events: tuple[str, ...]) -> None:
    odd = HOOK.model_copy(update={"events": events})
    unit = WorkUnit(work_unit_id="w", organization_id="o", event="b")
    assert matching_destinations(unit, [odd, HOOK, MAIL]) == [odd, HOOK]
    check(HOOK)
    with pytest.raises(SchemaViolation, match=r"^hook: events: "):
        check(odd)
