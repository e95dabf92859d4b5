"""The operator's page, walked: each trouble is made, then the commands of the page are typed in its order."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from notification_sender.render import shipped
from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.command import command
from tests.e2e.fleet import Worker, fleet
from tests.e2e.page import Walk
from tests.e2e.reading import posts_at
from tests.patience import patience
from tests.services.redis import Redis

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "repair.md"
ORGANIZATION, HOOK, MAIL = "przyklad-lacza", "hook-przyklad-lacza", "mail-przyklad-lacza"
WRONG = "{{ incident.stauts }}"

Publish = Callable[..., Any]


@pytest.fixture
def publish(environment: dict[str, str], tmp_path: Path, about: Callable[..., dict[str, Any]]) -> Publish:
    """Units ``first`` to ``last`` of a batch, for these destinations of the organization, as a publisher does."""

    async def do(batch: str, first: int, last: int, size: int, *destinations: str) -> None:
        units = [
            about(2, work_unit_id=f"{batch}-{number:03}", batch={"id": batch, "size": size}, channels=None)
            | {"destination_ids": list(destinations)}
            for number in range(first, last + 1)
        ]
        file = tmp_path / "units.jsonl"
        file.write_text("".join(f"{json.dumps(it)}\n" for it in units))
        ended = await command(environment, "publish", str(file))
        assert ended.out == f"published: {len(units)}\n", ended

    return do


async def settled(worker: Worker, outcome: str, times: int) -> None:
    await worker.says(f"notification.{outcome}", times=times, within=60)


async def test_a_wrong_template_is_mended_and_its_letters_are_moved_back(
    sandbox: Sandbox, environment: dict[str, str], publish: Publish, tmp_path: Path
) -> None:
    file = tmp_path / "templates" / "intel" / "webhook.json.j2"
    shutil.copytree(shipped(), tmp_path / "templates")
    well = file.read_text()
    file.write_text(f"{well}{WRONG}\n")
    environment["NS_TEMPLATES_DIR"] = str(tmp_path / "templates")
    walk = Walk(PAGE, "A wrong template", environment)
    async with fleet(environment) as (worker,):
        await publish("night-1", 0, 59, 60, HOOK)
        await settled(worker, "dead", 20)
        assert "line 28" in (await worker.says("template.failing"))["error"]
        await worker.says("notification.deferred", times=40, reason="template_failing")
        await walk.types("audit --batch night-1", code=1)
        await walk.types("dead list")
        assert await worker.stop() == 0
    file.write_text(well)
    async with fleet(environment) as (worker,):
        await walk.types("dead replay --reason render --dry-run")
        await walk.types("dead replay --reason render")
        await settled(worker, "delivered", 60)
        await walk.types("audit --batch night-1")
        await walk.types("dead list")
    file.write_text("{% if %}")
    await walk.types("check", code=1)
    walk.over()
    assert (len(posts_at(sandbox.inbox, HOOK)), sandbox.inbox.duplicates) == (60, 0)


async def test_a_secret_that_comes_lets_out_what_waits_and_nobody_types_anything(
    sandbox: Sandbox, environment: dict[str, str], publish: Publish
) -> None:
    secret = Path(environment["NS_SECRETS_DIR"]) / ORGANIZATION / HOOK
    keys = secret.read_text()
    secret.unlink()
    walk = Walk(PAGE, "A missing secret", environment)
    async with fleet(environment) as (worker,), patience(60):
        await publish("night-2", 0, 4, 5, HOOK)
        await worker.says("notification.deferred", times=5, reason="secret_missing")
        await walk.types("audit --batch night-2")
        while HOOK not in (await command(environment, "destinations", "list")).out:
            pass
        await walk.types("destinations list")
        secret.write_text(keys)
        await settled(worker, "delivered", 5)
        await walk.types("audit --batch night-2")
        await walk.types("dead list")
    walk.over()
    assert len(sandbox.inbox.accepted) == 5


async def test_a_destination_that_said_410_is_switched_on_and_what_was_withheld_stays_so(
    sandbox: Sandbox, environment: dict[str, str], publish: Publish
) -> None:
    sandbox.inbox.behaviours[HOOK].script.append(410)
    walk = Walk(PAGE, "A 410, and what was withheld", environment)
    async with fleet(environment) as (worker,):
        await publish("night-3", 0, 0, 4, HOOK, MAIL)
        await settled(worker, "dead", 1)
        await publish("night-3", 1, 3, 4, HOOK, MAIL)
        await settled(worker, "suppressed", 3)
        await settled(worker, "delivered", 4)
        await walk.types("audit --batch night-3 --failed", code=1)
        await walk.types("destinations list")
        await walk.types("dead replay --reason gone", code=1)
        await walk.types(f"destinations enable --organization {ORGANIZATION} --destination {HOOK}")
        await walk.types("dead replay --reason gone")
        await settled(worker, "delivered", 5)
        await walk.types("audit --batch night-3 --failed", code=1)
        await walk.types("dead list")
    walk.over()
    assert [post.answered for post in posts_at(sandbox.inbox, HOOK)] == [410, 200]


async def test_what_an_outage_of_redis_met_in_mid_send_is_delivered_once_and_nobody_types_anything(
    sandbox: Sandbox, environment: dict[str, str], publish: Publish, redis_service: Redis
) -> None:
    shares = {"NS_CONCURRENCY": "8", "NS_ORGANIZATION_SHARE": "1", "NS_DESTINATION_SHARE": "1"}
    sandbox.inbox.behaviours[HOOK].latency = 1.0
    walk = Walk(PAGE, "Redis is away", environment)
    async with fleet(environment | shares) as (worker,), patience(60):
        await publish("night-4", 0, 19, 20, HOOK)
        await sandbox.inbox.receives(8)
        redis_service.freeze()
        try:
            await worker.says("acceptance.unrecorded")
            await worker.becomes(503)
            await walk.types("check", code=1)
        finally:
            redis_service.thaw()
        await settled(worker, "delivered", 20)
        # What was accepted meanwhile is recorded a few seconds after Redis is back.
        while " waiting 0," not in (await command(environment, "audit", "--batch", "night-4")).out:
            pass
        await walk.types("audit --batch night-4")
        await walk.types("dead list")
    walk.over()
    assert (len(posts_at(sandbox.inbox, HOOK)), sandbox.inbox.duplicates) == (20, 0)
