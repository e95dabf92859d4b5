"""The page for recipe authors, followed to the letter: its files, its package, its unit, its webhook."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from e2e.broker import Broker
from e2e.fleet import COMMAND, fleet
from e2e.reading import payload

from notification_sender.sandbox.endpoints import Endpoint
from notification_sender.sandbox.sandbox import Sandbox

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-recipe.md"
FILE = re.compile(r"^`([\w./]+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Every file of the page, in its place, and the package installed beside it."""
    folder = tmp_path / "package"
    for name, text in FILE.findall(PAGE.read_text()):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(tmp_path / "installed"), str(folder)]
    subprocess.run([*pip, *options], check=True, capture_output=True)  # noqa: S603 - our own page
    return folder


async def test_a_new_kind_of_notification_is_one_file_and_a_template(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, package: Path, tmp_path: Path
) -> None:
    environment |= {"NS_TEMPLATES_DIR": str(package / "templates"), "PYTHONPATH": str(tmp_path / "installed")}
    unit: dict[str, Any] = json.loads((package / "unit.json").read_text())
    unit["destinations"][0]["url"] = sandbox.inbox.webhook_url("next-shift")
    async with fleet(environment), asyncio.timeout(30):
        await broker.publish([unit])
        await sandbox.inbox.accepts(1)
    [post] = sandbox.inbox.posts
    incident = sandbox.world.incidents[unit["incident_id"]]
    assert payload(post) == {
        "type": "shift.handover",
        "timestamp": "2026-03-06T14:00:00Z",
        "data": {
            "organization": sandbox.world.organizations[unit["organization_id"]]["name"],
            "incident": incident["incident_id"],
            "status": incident["status"],
            "assets": [sandbox.world.assets[it["asset_id"]]["asset_name"] for it in incident["assets"]],
            "degraded": [],
        },
    }
    assert sandbox.platform.calls == dict.fromkeys(
        (Endpoint.TOKEN, Endpoint.ORGANIZATION, Endpoint.INCIDENT, Endpoint.ASSETS), 1
    )


async def test_a_handover_about_what_is_over_by_now_is_not_told_any_more(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, package: Path, tmp_path: Path
) -> None:
    hasty |= {"NS_TEMPLATES_DIR": str(package / "templates"), "PYTHONPATH": str(tmp_path / "installed")}
    recipe = tmp_path / "installed" / "handover.py"
    recipe.write_text(recipe.read_text().replace('outdated(after="10m")', 'outdated(after="0.1s")'))
    unit: dict[str, Any] = json.loads((package / "unit.json").read_text())
    unit["destinations"][0]["url"] = sandbox.inbox.webhook_url("next-shift")
    sandbox.world.incidents[unit["incident_id"]]["status"] = "Resolved"
    sandbox.inbox.behaviours["next-shift"].script.append(500)
    async with fleet(hasty) as (worker,):
        await broker.publish([unit])
        ended = await worker.says("notification.suppressed")
    assert (ended["reason"], ended["because"]) == ("no_longer_relevant", "no_longer_relevant:resolved")
    assert len(sandbox.inbox.posts) == 1


def test_the_plan_of_the_new_kind_can_be_looked_at(package: Path, tmp_path: Path) -> None:
    command = [COMMAND, "explain-plan", "--kind", "handover", "--channel", "webhook", "--templates", "templates"]
    said = subprocess.run(  # noqa: S603 - our own page
        command,
        cwd=package,
        env={"PYTHONPATH": str(tmp_path / "installed")},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "runs     assets                  read by handover/webhook" in said
