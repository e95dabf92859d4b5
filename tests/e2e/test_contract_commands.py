"""The commands as operators type them, against the services that workers use."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aio_pika
import pytest

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.command import command
from tests.e2e.fleet import Worker, fleet
from tests.patience import patience
from tests.services.program import free_port
from tests.services.redis import running_redis

Make = Callable[..., dict[str, Any]]
WHOLE = {"NS_ORGANIZATION_SHARE": "1", "NS_DESTINATION_SHARE": "1"}
"""One may have every slot."""


async def test_units_are_published_from_a_file_or_the_standard_input_all_or_none(
    environment: dict[str, str], broker: Broker, unit: Make, tmp_path: Path
) -> None:
    units = [json.dumps(unit()) for _ in range(3)]
    (tmp_path / "lines").write_text("\n".join(units[:2]))
    bad = json.dumps([unit(), unit(work_unit_id="not.an.id")])
    from_file = await command(environment, "publish", str(tmp_path / "lines"))
    refused = await command(environment, "publish", "-", stdin=bad.encode())
    from_input = await command(environment, "publish", "-", stdin=units[2].encode())
    assert [it.code for it in (from_file, refused, from_input)] == [0, 1, 0]
    assert "work_unit_id" in refused.err
    published = await broker.take("units", 3)
    assert [it.body.decode() for it in published] == units
    assert {(it.delivery_mode, it.content_type) for it in published} == {
        (aio_pika.DeliveryMode.PERSISTENT, "application/json")
    }
    assert await broker.depth("units") == 0


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
    async with fleet(environment) as (worker,), patience(30):
        await broker.publish([*units, unit(batch=balanced, destinations=[hook("noc")])])
        await worker.says("unit.done", times=5)
        await worker.says("unit.suppressed", reason="no_destinations")
        await broker.publish([units[0]])
        await worker.says("unit.suppressed", reason="already_done")
    nightly, good, unknown = await asyncio.gather(
        *(command(environment, "audit", "--batch", name) for name in ("nightly", "balanced", "never-seen"))
    )
    assert (nightly.code, nightly.out.splitlines()) == (
        1,
        [
            "accounted for: 5 of 6 (delivered 2, suppressed 1, waiting 1, dead 1), missing: 1",
            "  notifications: 8 (delivered 5, suppressed 0, waiting 2, dead 1)",
            "    dead rejected: 1",
            "  units without notifications: 1 (delivered 0, suppressed 1, waiting 0, dead 0)",
            "    suppressed no_destinations: 1",
        ],
    )
    assert (good.code, good.out.splitlines()) == (
        0,
        [
            "accounted for: 1 of 1 (delivered 1, suppressed 0, waiting 0, dead 0)",
            "  notifications: 1 (delivered 1, suppressed 0, waiting 0, dead 0)",
        ],
    )
    assert (unknown.code, unknown.out) == (1, "")
    assert "never-seen" in unknown.err


async def test_who_was_left_out_is_told_however_well_the_rest_of_a_unit_went(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    """A 410 ends its webhook for good: what comes later is kept from it, and its emails hide that from nobody."""
    sandbox.inbox.behaviours["gone"].answer = 410
    email = {"destination_id": "noc", "channel": "email", "to": "noc@example.com", "template": "intel"}
    several = [hook("gone"), email, *(hook(f"hook-{number}") for number in range(40))]
    units = [unit(batch={"id": "b", "size": 2}, channels=None, destinations=it) for it in ([*several], several[:2])]
    async with fleet(environment) as (worker,), patience(60):
        await broker.publish(units[:1])
        await worker.says("unit.done", times=2)  # the first of it, and the slice
        await broker.publish(units[1:])
        await worker.says("unit.done", times=3)
    listed, told = await asyncio.gather(
        command(environment, "audit", "--batch", "b", "--failed"),
        command(environment, "audit", "--batch", "b", "--json"),
    )
    assert (listed.code, told.code) == (1, 1)
    assert listed.out.splitlines()[:2] == [
        "accounted for: 2 of 2 (delivered 1, suppressed 0, waiting 0, dead 1)",
        "  notifications: 44 (delivered 42, suppressed 1, waiting 0, dead 1)",
    ]
    failed = {(it["work_unit_id"], it["destination_id"], it["reason"]) for it in json.loads(told.out)["failed"]}
    first, second = (it["work_unit_id"] for it in units)
    assert failed == {(first, "gone", "gone"), (second, "gone", "destination_disabled")}
    assert all(f"{name}  gone" in listed.out for name in (first, second))


async def test_two_organizations_that_use_one_batch_id_have_two_batches(
    environment: dict[str, str], broker: Broker, about: Make, hook: Make, sandbox: Sandbox
) -> None:
    incidents = [*sandbox.world.incidents.values()]
    ours = incidents[0]["organization_id"]
    theirs = next(place for place, it in enumerate(incidents) if it["organization_id"] != ours)
    other = incidents[theirs]["organization_id"]
    units = [about(0, batch={"id": "nightly", "size": 2}, destinations=[hook("noc")]) for _ in range(2)]
    units.append(about(theirs, batch={"id": "nightly", "size": 5}, destinations=[hook("noc")]))
    async with fleet(environment) as (worker,):
        await broker.publish(units)
        await worker.says("unit.done", times=3)
    one, all_of_them, for_programs = await asyncio.gather(
        command(environment, "audit", "--batch", "nightly", "--organization", ours),
        command(environment, "audit", "--batch", "nightly"),
        command(environment, "audit", "--batch", "nightly", "--json"),
    )
    line = "accounted for: 2 of 2 (delivered 2, suppressed 0, waiting 0, dead 0)"
    assert (one.code, one.out.splitlines()[0]) == (0, line)
    assert all_of_them.code == 1
    assert sorted(it for it in all_of_them.out.splitlines() if it[0] != " ") == [
        f"accounted for: 1 of 5 (delivered 1, suppressed 0, waiting 0, dead 0), missing: 4, organization: {other}",
        f"{line}, organization: {ours}",
    ]
    assert sum(it["missing"] for it in json.loads(for_programs.out)["organizations"]) == 4


async def test_check_reaches_everything_and_says_what_it_could_not(environment: dict[str, str]) -> None:
    away = environment | {"NS_GEOCODING_URL": f"http://127.0.0.1:{free_port()}"}
    well, unwell, faulty = await asyncio.gather(
        command(environment, "check"),
        command(away, "check"),
        command(environment | {"NS_REDIS_URL": "redis+sentinel://a/m"}, "check"),
    )
    assert (well.code, unwell.code, faulty.code) == (0, 1, 78), well.out
    assert all(line.startswith("ok ") for line in well.out.splitlines())
    faults = [line.split()[:2] for line in unwell.out.splitlines() if not line.startswith("ok ")]
    assert faults == [["FAULT", "geocoding"]]
    assert "not supported yet" in faulty.out


async def test_a_store_that_forgets_when_it_is_full_is_no_place_for_a_ledger(environment: dict[str, str]) -> None:
    with running_redis(**{"maxmemory-policy": "allkeys-lru"}) as forgetful:
        live = environment | {"NS_ENVIRONMENT": "production", "NS_REDIS_URL": forgetful.url}
        live = {name: value for name, value in live.items() if name not in {"NS_SMTP_URL", "NS_EMAIL_FROM"}}
        started, checked = await asyncio.gather(command(live, "run"), command(live, "check"))
    assert (started.code, checked.code) == (78, 1)
    assert all("maxmemory-policy noeviction" in it for it in (started.err, checked.out))


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


async def test_a_worker_is_ready_without_the_apis_and_the_mail_server(environment: dict[str, str]) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    apis = ("INCIDENTS", "INTEL_REQUESTS", "ASSETS", "AAA", "GEOCODING")
    away = {f"NS_{api}_URL": f"http://{nobody}" for api in apis}
    async with fleet(environment | away | {"NS_SMTP_URL": f"smtp://{nobody}?starttls=none"}) as (worker,):
        assert (await worker.get("/readyz")).status_code == 200
        assert await worker.stop() == 0


async def test_the_health_port_answers_all_four_questions(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make
) -> None:
    async with fleet(environment) as (worker,), patience(30):
        await broker.publish([unit()])
        await sandbox.inbox.accepts(1)
        await until_it_has(worker, in_hand=0, slots=0, unsettled=0)
        answers = {name: await worker.get(f"/{name}") for name in ("livez", "readyz", "metrics", "status")}
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 200)
    assert answers["readyz"].json() == {"ready": True, "rabbitmq": True, "redis": True, "consuming": True}
    assert answers["status"].json()["ready"] == {"rabbitmq": True, "redis": True, "consuming": True}
    measured = dict(line.split() for line in answers["metrics"].text.splitlines() if "{" not in line and line[0] != "#")
    for held in ("process_resident_memory_bytes", "process_open_fds", "notification_sender_tasks"):
        assert float(measured[held]) > 0
    assert 'notification_sender_outcomes_total{outcome="delivered"' in answers["metrics"].text


async def until_it_has(worker: Worker, *, in_hand: int, slots: int, unsettled: int) -> None:
    """A slot is taken some time after a delivery, and an ack leaves some time after what it is for is said."""

    def had(status: dict[str, Any]) -> tuple[int, int, int]:
        return status["in_hand"], sum(status["slots"].values()), status["unsettled"]

    while had((await worker.get("/status")).json()) != (in_hand, slots, unsettled):  # noqa: ASYNC110 - only asked
        await asyncio.sleep(0.05)


async def test_in_hand_is_what_holds_a_slot_and_the_rest_of_what_was_taken_is_named_otherwise(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    sandbox.inbox.behaviours["slow"].answer = "hang"
    units = [unit(destinations=[hook("slow")]) for _ in range(4)]
    async with fleet(environment | {"NS_CONCURRENCY": "2"} | WHOLE) as (worker,), patience(30):
        await broker.publish(units)
        await until_it_has(worker, in_hand=2, slots=2, unsettled=len(units))
        metrics = (await worker.get("/metrics")).text
        assert 'notification_sender_in_hand{lane="units"} 2.0' in metrics


async def test_nothing_is_consumed_while_a_queue_cannot_be_had(environment: dict[str, str], broker: Broker) -> None:
    """RabbitMQ is there, and an operator looks for what is wrong: not at the broker's connection."""
    async with fleet(environment) as (worker,):
        await broker.replace("units")
        await worker.becomes(503)
        told = (await worker.get("/readyz")).json()
    assert told == {"ready": False, "rabbitmq": True, "redis": True, "consuming": False}
