"""What `audit` counts without a batch: a time, and the units of a file, of which it names the missing ones."""

import json
from pathlib import Path

import pytest

from notification_sender.policy.audit import RecordedOutcome, audit
from tests.cli.stand_in import App, Command

UNIT = {"work_unit_id": "w1", "organization_id": "acme", "incident_id": "i1", "batch": {"id": "b-1", "size": 3}}
GOOD = RecordedOutcome("delivered", notification_id="n-1")


def test_the_units_of_a_time_are_counted(command: Command, app: App) -> None:
    app.answer = {"acme": audit(1, {"w1": [GOOD]})}
    ended = command("audit", "--since", "2026-03-06T08:26:00Z", "--until", "2026-03-06T09:26:00+00:00")
    assert (ended.code, ended.out.splitlines()[0]) == (
        0,
        "accounted for: 1 of 1 (delivered 1, suppressed 0, waiting 0, dead 0)",
    )
    assert app.asked == [(1_772_785_560.0, 1_772_789_160.0, None)]
    app.answer = {}
    ended = command("audit", "--since", "2h", "--organization", "acme")
    assert (ended.code, ended.out) == (1, "")
    assert "no work unit is known" in ended.err
    since, until, organization = app.asked[1]
    assert (round(until - since), organization) == (7200, "acme")


def test_the_units_of_a_file_that_nobody_has_seen_are_named(command: Command, app: App, tmp_path: Path) -> None:
    others = [UNIT | {"work_unit_id": "w2"}, UNIT | {"work_unit_id": "w3", "batch": {"id": "b-2", "size": 1}}]
    (file := tmp_path / "units.json").write_text(json.dumps([UNIT, *others]))
    app.answer = ({"acme": audit(2, {"w1": [GOOD]})}, {"acme": ["w2"]})
    ended = command("audit", "--batch", "b-1", "--expect", str(file))
    assert (ended.code, ended.out.splitlines()[-1]) == (1, "  missing  w2")
    assert app.asked == [["w1", "w2"]]
    told = json.loads(command("audit", "--expect", str(file), "--json").out)
    assert (told["missing"], told["missing_ids"], told["organizations"][0]["missing_ids"]) == (1, ["w2"], ["w2"])
    assert app.asked[1] == ["w1", "w2", "w3"]
    file.write_text("{")
    assert command("audit", "--expect", str(file)).code == 2


@pytest.mark.parametrize("options", [(), ("--batch", "b", "--since", "2h"), ("--since", "soon")])
@pytest.mark.usefixtures("app")
def test_it_wants_to_know_what(command: Command, options: tuple[str, ...]) -> None:
    assert command("audit", *options).code == 2
