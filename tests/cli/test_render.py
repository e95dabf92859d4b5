"""What a template needs is named before anything is rendered, and there is a context to start from."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from notification_sender.app import commands as app
from notification_sender.cli import main
from notification_sender.model.errors import RenderFault
from notification_sender.model.unit import WorkUnit
from notification_sender.recipes import sample
from notification_sender.sandbox.platform.context import context
from notification_sender.sandbox.platform.world import World
from tests.patience import patient

SANDBOX = "import runpy, sys; {}; sys.argv = ['sandbox', *sys.argv[1:]]; runpy.run_module({!r}, run_name='__main__')"
PARTS = {"webhook": {"json"}, "email": {"subject", "txt", "html"}}


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    assert ended.value.code == code
    out = capsys.readouterr()
    return out.out if code == 0 else out.err


def preview(channel: str, facts: dict[str, Any]) -> dict[str, str]:
    unit = WorkUnit.model_validate(sample("intel")["unit"])
    return app.preview(None, unit, "intel", channel, facts)


@pytest.mark.parametrize("channel", PARTS)
@pytest.mark.parametrize("command", ["render", "explain-plan"])
def test_the_sample_is_rendered_by_the_shipped_templates(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str, channel: str
) -> None:
    (tmp_path / "context").write_text(said(capsys, command, "--sample"))
    text = said(capsys, "render", "--context", str(tmp_path / "context"), "--channel", channel)
    assert {line.removeprefix("--- ") for line in text.splitlines() if line.startswith("--- ")} == PARTS[channel]


@pytest.mark.parametrize("channel", PARTS)
@settings(max_examples=settings().max_examples // 12)  # each compiles the templates anew
@given(lacking=some.sets(some.sampled_from(sorted(sample("intel").keys() - {"unit"})), min_size=1))
def test_whatever_a_template_reads_and_is_not_given_is_named(channel: str, lacking: set[str]) -> None:
    whole, named = sample("intel"), set[str]()
    facts = {name: value for name, value in whole.items() if name not in lacking}
    try:
        preview(channel, facts)
    except RenderFault as fault:
        told = str(fault).partition("; ")[0]
        assert told.startswith("the context lacks "), told
        named = set(told.removeprefix("the context lacks ").rpartition(", for ")[0].split(", "))
    assert named <= lacking
    # What was not named was not needed: with what was named it is rendered.
    preview(channel, facts | {name: whole[name] for name in named})


def test_a_context_without_a_timestamp_is_1_and_no_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    facts = sample("intel")
    del facts["timestamp"]
    (tmp_path / "context").write_text(json.dumps(facts))
    text = said(capsys, "render", "--context", str(tmp_path / "context"), code=1)
    assert "lacks timestamp" in text
    assert "Traceback" not in text


def test_a_name_that_a_template_sets_itself_is_not_asked_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "intel").mkdir()
    (tmp_path / "intel" / "webhook.json.j2").write_text('{% if unit %}{% set own = 1 %}{% endif %}{"a": {{ own }}}')
    (tmp_path / "context").write_text('{"timestamp": "2026-03-06T08:00:00Z"}')
    (tmp_path / "unit").write_text(json.dumps(sample("intel")["unit"]))
    files = ["--work-unit", str(tmp_path / "unit"), "--context", str(tmp_path / "context")]
    assert '"data":{"a": 1}' in said(capsys, "render", *files, "--templates", str(tmp_path))


def test_without_any_unit_it_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--work-unit" in said(capsys, "render", code=2)


@pytest.mark.long
async def test_what_the_sandbox_gathers_for_each_of_its_units_can_be_rendered() -> None:
    world = World()
    for made in world.work_units(8):
        unit = WorkUnit.model_validate(made)
        facts = await context(world, unit)
        for channel, parts in PARTS.items():
            assert app.preview(None, unit, "intel", channel, json.loads(json.dumps(facts))).keys() == parts


async def test_the_sample_is_what_the_sandbox_gathers_now() -> None:
    world = World()
    [made] = world.work_units(1)
    gathered = await context(world, WorkUnit.model_validate(made))
    assert gathered | {"unit": gathered["unit"] | {"kind": "intel"}} == sample("intel")


@pytest.mark.parametrize("module", ["aiosmtpd", "fakeredis"])
def test_a_sandbox_without_its_extra_says_what_to_install(tmp_path: Path, module: str) -> None:
    without = f"sys.modules[{module!r}] = None"
    (tmp_path / "unit").write_text(json.dumps(sample("intel")["unit"]))
    arguments = ["--port", "0"] if module == "aiosmtpd" else ["--context", str(tmp_path / "unit")]
    code = SANDBOX.format(without, "notification_sender.sandbox")
    ended = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=patient(30), check=False
    )
    assert ended.returncode == 78
    assert "notification-sender[demo]" in ended.stderr
    assert "Traceback" not in ended.stderr
