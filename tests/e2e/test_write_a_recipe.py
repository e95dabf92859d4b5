"""The page for recipe authors, followed to the letter: its files, its package, its unit, its webhook."""

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from notification_sender.sandbox.platform.endpoints import Endpoint
from notification_sender.sandbox.sandbox import Sandbox
from notification_sender.sandbox.serving import Server
from tests.e2e.broker import Broker
from tests.e2e.fleet import COMMAND, fleet
from tests.e2e.reading import payload
from tests.patience import patience

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-recipe.md"
FILE = re.compile(r"^`([\w./-]+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
async def variables(package: Path, tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """What the page sets. The API that the recipe brings answers with a file of the page, to whoever has a token."""

    async def on_duty(request: web.Request) -> web.StreamResponse:
        if not request.headers.get("authorization", "").startswith("Bearer "):
            return web.Response(status=401)
        return web.FileResponse(package / "rota" / "on-duty" / request.match_info["organization"])

    server = Server([("GET", "/on-duty/{organization}", on_duty)])
    async with server.serving():
        yield {
            "NS_TEMPLATES_DIR": str(package / "templates"),
            "NS_ROTA_URL": server.url,
            "PYTHONPATH": str(tmp_path / "installed"),
        }


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
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, package: Path, variables: dict[str, str]
) -> None:
    unit: dict[str, Any] = json.loads((package / "unit.json").read_text())
    unit["destinations"][0]["url"] = sandbox.inbox.webhook_url("next-shift")
    async with fleet(environment | variables), patience(30):
        await broker.publish([unit])
        await sandbox.inbox.accepts(1)
    [post] = sandbox.inbox.webhooks
    incident = sandbox.world.incidents[unit["incident_id"]]
    assert payload(post) == {
        "type": "shift.handover",
        "timestamp": "2026-03-06T14:00:00Z",
        "data": {
            "organization": sandbox.world.organizations[unit["organization_id"]]["name"],
            "incident": incident["incident_id"],
            "status": incident["status"],
            "assets": [sandbox.world.assets[it["asset_id"]]["asset_name"] for it in incident["assets"]],
            "next_shift": "Anna Nowak",
            "degraded": [],
        },
    }
    assert sandbox.platform.calls == dict.fromkeys(
        (Endpoint.TOKEN, Endpoint.ORGANIZATION, Endpoint.INCIDENT, Endpoint.ASSETS), 1
    )


async def test_a_handover_about_what_is_over_by_now_is_not_told_any_more(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, package: Path, variables: dict[str, str]
) -> None:
    recipe = Path(variables["PYTHONPATH"]) / "handover.py"
    recipe.write_text(recipe.read_text().replace('outdated(after="10m")', 'outdated(after="0.1s")'))
    unit: dict[str, Any] = json.loads((package / "unit.json").read_text())
    unit["destinations"][0]["url"] = sandbox.inbox.webhook_url("next-shift")
    sandbox.world.incidents[unit["incident_id"]]["status"] = "Resolved"
    sandbox.inbox.behaviours["next-shift"].script.append(500)
    async with fleet(hasty | variables) as (worker,):
        await broker.publish([unit])
        ended = await worker.says("notification.suppressed")
    assert (ended["reason"], ended["because"]) == ("no_longer_relevant", "no_longer_relevant:resolved")
    assert len(sandbox.inbox.webhooks) == 1


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
