"""What a plan says is what would be fetched."""

import json
from pathlib import Path

import pytest

from notification_sender.cli import main
from notification_sender.context.explain import explained
from notification_sender.context.recipe import Recipe

UNIT = {"work_unit_id": "wu", "organization_id": "acme", "incident_id": "inc"}
HOOK = {"destination_id": "hook", "channel": "webhook", "url": "https://hooks.example/x"}


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["explain-plan", *arguments])
    assert ended.value.code == code
    out = capsys.readouterr()
    return out.out if code == 0 else out.err


def running(text: str) -> set[str]:
    return {line.split()[1] for line in text.splitlines() if line.startswith("runs ")}


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    for name, read in (("intel", "incident.status"), ("more", "address")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "webhook.json.j2").write_text('{"it": {{ ' + read + " | tojson }}}")
    return tmp_path


def test_a_recipe_is_explained_source_by_source(capsys: pytest.CaptureFixture[str], templates: Path) -> None:
    text = said(capsys, "--templates", str(templates), "--channel", "webhook")
    assert running(text) == {"organization", "current_entry", "incident"}
    assert "is left  address                 no template reads it" in text
    assert "read by intel/webhook; what the unit is about" in text
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("may be cut short") == 2


def test_a_unit_is_explained_by_whom_it_tells(
    capsys: pytest.CaptureFixture[str], templates: Path, tmp_path: Path
) -> None:
    unit = tmp_path / "unit.json"
    unit.write_text(json.dumps(UNIT | {"destinations": [HOOK | {"template": "more"}]}))
    text = said(capsys, "--templates", str(templates), "--work-unit", str(unit))
    assert running(text) == {"organization", "current_entry", "incident", "address"}


def test_a_unit_without_destinations_is_explained_for_its_channels(
    capsys: pytest.CaptureFixture[str], templates: Path, tmp_path: Path
) -> None:
    unit = tmp_path / "unit.json"
    unit.write_text(json.dumps(UNIT | {"channels": ["webhook"]}))
    text = said(capsys, "--templates", str(templates), "--work-unit", str(unit))
    assert "intel/email" not in text
    assert "read by the list of destinations" in text


def test_where_nobody_is_told_nothing_runs(capsys: pytest.CaptureFixture[str], templates: Path, tmp_path: Path) -> None:
    unit = tmp_path / "unit.json"
    unit.write_text(json.dumps(UNIT | {"destinations": [HOOK], "channels": ["email"]}))
    assert running(said(capsys, "--templates", str(templates), "--work-unit", str(unit))) == set()


def test_the_picture_has_every_source_and_fills_those_that_run(
    capsys: pytest.CaptureFixture[str], templates: Path
) -> None:
    lines = said(capsys, "--templates", str(templates), "--channel", "webhook", "--mermaid").splitlines()
    assert lines[0] == "flowchart LR"
    assert "    incident[(incident)]:::runs" in lines
    assert "    address[(address)]" in lines
    assert "    incident --> address" in lines


def test_what_is_unknown_is_named(capsys: pytest.CaptureFixture[str], templates: Path) -> None:
    assert "no recipe 'nothing', only intel" in said(capsys, "--kind", "nothing", code=1)
    assert "no template 'nowhere'" in said(capsys, "--templates", str(templates), "--template", "nowhere", code=1)


def test_what_is_only_asked_for_of_news_that_is_late_says_so() -> None:
    recipe = Recipe("handover", subject=lambda _: "incident")

    @recipe.fetched(ttl="1s")
    async def incident() -> dict[str, str]:
        return {}

    @recipe.fetched(ttl="1s")
    async def crew(incident: dict[str, str]) -> dict[str, str]:
        return incident

    @recipe.outdated(after="10m")
    def relieved(crew: dict[str, str]) -> bool:
        return not crew

    why = {line.source.name: line.why for line in explained(recipe, "incident", {})}
    assert why == {
        "incident": "what the unit is about",
        "crew": "no template reads it; relieved does, of what comes back late",
    }
