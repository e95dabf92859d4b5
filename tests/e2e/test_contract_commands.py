"""The commands as operators type them, against the services that workers use."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from e2e.broker import Broker
from e2e.command import command
from e2e.fleet import fleet
from e2e.reading import payload

from notification_sender.sandbox.sandbox import Sandbox

Make = Callable[..., dict[str, Any]]


async def test_units_are_published_from_a_file_or_the_standard_input_all_or_none(
    sandbox: Sandbox, environment: dict[str, str], unit: Make, tmp_path: Path
) -> None:
    units = [unit() for _ in range(3)]
    (tmp_path / "lines").write_text("\n".join(map(json.dumps, units[:2])))
    bad = json.dumps([unit(), unit(work_unit_id="not.an.id")]).encode()
    async with fleet(environment), asyncio.timeout(30):
        from_file = await command(environment, "publish", str(tmp_path / "lines"))
        refused = await command(environment, "publish", "-", stdin=bad)
        from_input = await command(environment, "publish", "-", stdin=json.dumps(units[2]).encode())
        await sandbox.inbox.accepts(3)
    assert [it.code for it in (from_file, refused, from_input)] == [0, 1, 0]
    assert "work_unit_id" in refused.err
    told = {payload(post)["data"]["work_unit_id"] for post in sandbox.inbox.posts}
    assert told == {it["work_unit_id"] for it in units}


async def test_a_batch_is_accounted_for_each_unit_once_under_the_worst_of_its_notifications(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    for name, answer in {"refusing": 400, "down": 500}.items():
        sandbox.inbox.behaviours[name].answer = answer
    fates = {
        "delivered": [[hook("noc")], [hook("noc"), hook("other")]],
        "suppressed": [[hook("off", enabled=False)]],
        "waiting": [[hook("noc"), hook("down")]],
        "dead": [[hook("noc"), hook("down"), hook("refusing")]],
    }
    batch = {"id": "nightly", "size": 6}
    units = [unit(batch=batch, destinations=it) for destinations in fates.values() for it in destinations]
    balanced = {"id": "balanced", "size": 1}
    async with fleet(environment) as (worker,), asyncio.timeout(30):
        await broker.publish([*units, units[0], unit(batch=balanced, destinations=[hook("noc")])])
        await worker.says("unit.done", times=5)
        await worker.says("unit.suppressed", reason="no_destinations")
        await worker.says("unit.suppressed", reason="already_done")
    nightly, good, unknown = await asyncio.gather(
        *(command(environment, "audit", "--batch", name) for name in ("nightly", "balanced", "never-seen"))
    )
    line = "accounted for: 5 of 6 (delivered 2, suppressed 1, waiting 1, dead 1), missing: 1\n"
    assert (nightly.code, nightly.out) == (1, line)
    assert (good.code, good.out) == (0, "accounted for: 1 of 1 (delivered 1, suppressed 0, waiting 0, dead 0)\n")
    assert (unknown.code, unknown.out) == (1, "")
    assert "never-seen" in unknown.err


async def test_check_reaches_everything_and_says_what_it_could_not(environment: dict[str, str]) -> None:
    away = environment | {"NS_REDIS_URL": "redis://127.0.0.1:1/0"}
    well, unwell, faulty = await asyncio.gather(
        command(environment, "check"),
        command(away, "check"),
        command(environment | {"NS_REDIS_URL": "redis+sentinel://a/m"}, "check"),
    )
    assert (well.code, unwell.code, faulty.code) == (0, 1, 78), well.out
    assert all(line.startswith("ok ") for line in well.out.splitlines())
    assert [line.split()[:2] for line in unwell.out.splitlines() if not line.startswith("ok ")] == [["FAULT", "redis"]]
    assert "not supported yet" in faulty.out


@pytest.mark.parametrize("channel", ["webhook", "email"])
async def test_a_notification_is_rendered_without_any_service(unit: Make, tmp_path: Path, channel: str) -> None:
    (tmp_path / "unit.json").write_text(json.dumps(unit()))
    (tmp_path / "brief").mkdir()
    (tmp_path / "brief" / "webhook.json.j2").write_text('{"id": {{ unit.work_unit_id | tojson }}}')
    for part in ("subject", "txt", "html"):
        (tmp_path / "brief" / f"email.{part}.j2").write_text("{{ unit.event }}")
    (tmp_path / "facts.json").write_text('{"timestamp": "2026-03-06T08:26:00Z"}')
    options = ("--template", "brief", "--templates", str(tmp_path), "--channel", channel)
    files = ("--work-unit", str(tmp_path / "unit.json"), "--context", str(tmp_path / "facts.json"))
    ended = await command({}, "render", *files, *options)
    assert ended.code == 0, ended.err
    assert ended.out.count("--- ") == {"webhook": 1, "email": 3}[channel]
    assert "incident.created" in ended.out


async def test_wrong_usage_is_2_and_the_demo_is_offered() -> None:
    wrong, demo = await asyncio.gather(command({}, "audit"), command({}, "demo", "--help"))
    assert (wrong.code, demo.code) == (2, 0)


async def test_the_health_port_answers_all_four_questions(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make
) -> None:
    async with fleet(environment) as (worker,), asyncio.timeout(30):
        await broker.publish([unit()])
        await sandbox.inbox.accepts(1)
        await worker.says("unit.done")
        answers = {name: await worker.get(f"/{name}") for name in ("livez", "readyz", "metrics", "status")}
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 200)
    assert answers["readyz"].json() == {"ready": True, "rabbitmq": True, "redis": True, "consuming": True}
    assert answers["status"].json()["ready"] == {"rabbitmq": True, "redis": True, "consuming": True}
    assert 'notification_sender_outcomes_total{outcome="delivered"' in answers["metrics"].text
