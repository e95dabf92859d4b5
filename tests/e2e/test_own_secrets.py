"""Signing keys and tokens belong to an organization: who names another's gets neither, and what waits is served."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from notification_sender.sandbox.inbox.keys import signing_key
from notification_sender.sandbox.platform.endpoints import Endpoint
from notification_sender.sandbox.platform.tokens import origin
from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.command import command
from tests.e2e.fleet import fleet
from tests.e2e.reading import headers, posts_at, reasons
from tests.faults.rows import row
from tests.patience import patience

Make = Callable[..., dict[str, Any]]


def file_of(environment: dict[str, str], organization_id: str, name: str) -> Path:
    return Path(environment["NS_SECRETS_DIR"]) / organization_id / name


@row(114, "a unit that names another organization's signing secret")
async def test_another_organizations_secret_signs_nothing_and_what_waits_is_sent_once_its_own_comes(
    *, sandbox: Sandbox, environment: dict[str, str], broker: Broker, about: Make, hook: Make
) -> None:
    victim, owner = list(sandbox.world.organizations)[:2]
    secret = sandbox.world.secrets[victim][0]
    told = hook(secret, url=sandbox.inbox.webhook_url("attacker"), secret=secret)
    sandbox.inbox.keys["attacker"] = [signing_key("its own")]
    async with fleet(environment) as (worker,), patience(60):
        await broker.publish([about(1, destinations=[told])])
        said = await worker.says("destination.secret_missing", organization_id=owner, destination_id=secret)
        file = file_of(environment, owner, secret)
        assert f"there is no {file}" in said["error"]
        assert "NS_SHARED_SECRETS" in said["error"]
        await worker.says("notification.deferred", times=2, reason="secret_missing")
        assert sandbox.inbox.webhooks == []
        listed: list[Any] = []
        while not listed:
            listed = json.loads((await command(environment, "destinations", "list", "--json")).out)
        assert [(it["organization_id"], it["destination_id"]) for it in listed] == [(owner, secret)]
        assert str(file) in listed[0]["waits_for"]
        file.write_text(signing_key("its own"))
        delivered = await worker.says("notification.delivered")
    assert delivered["attempt"] == 1
    [post] = posts_at(sandbox.inbox, "attacker")
    assert post.problem is None
    assert len([it for it in worker.events if it["event"] == "destination.secret_missing"]) == 1


async def test_a_token_is_asked_for_the_organization_and_the_place_that_it_goes_to(
    *, sandbox: Sandbox, environment: dict[str, str], broker: Broker, about: Make, hook: Make
) -> None:
    inbox, world = sandbox.inbox, sandbox.world
    victim = next(it for it in world.destinations.values() if it.get("auth"))
    owner = world.owner(victim["destination_id"])
    auth = {"auth": "outbound_token"}
    elsewhere = inbox.smtp_url.replace("smtp://", "http://")
    moved = hook(victim["destination_id"], url=elsewhere.partition("?")[0], **auth)
    foreign = hook(victim["destination_id"], url=inbox.webhook_url("attacker"), **auth)
    number = next(n for n, it in enumerate(world.incidents.values()) if it["organization_id"] == owner)
    async with fleet(environment) as (worker,), patience(60):
        await broker.publish([about(0, destinations=[foreign]), about(number, destinations=[moved])])
        await inbox.accepts(1)
        await worker.says("notification.deferred", reason="context_unavailable", organization_id=owner)
        await broker.publish([about(number)])
        await inbox.accepts(2)
    forms = [parse_qs(call.body.decode()) for call in sandbox.platform.log if call.endpoint is Endpoint.TOKEN]
    asked = {(it["organization_id"][0], it["resource"][0]) for it in forms if "audience" in it}
    here = origin(victim["url"])
    assert asked == {("exemple-reseau", here), (owner, here), (owner, origin(moved["url"]))}
    [shown], [own] = posts_at(inbox, "attacker"), posts_at(inbox, victim["destination_id"])
    assert own.accepted
    assert not sandbox.platform.admits(victim["destination_id"], headers(shown)["authorization"])


async def test_an_unsigned_webhook_is_told_once_and_may_be_refused(
    *, sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    async with fleet(environment) as (worker,), patience(40):
        await broker.publish([unit(destinations=[hook("open")]) for _ in range(5)])
        await sandbox.inbox.accepts(5)
        await worker.says("unit.done", times=5)
        assert len([it for it in worker.events if it["event"] == "destination.unsigned"]) == 1
    refusing = environment | {"NS_UNSIGNED": "refuse"}
    async with fleet(refusing), patience(40):
        signed = hook("signed", secret=sandbox.world.secret_names[0])
        await broker.publish([unit(destinations=[hook("open"), signed])])
        letters = await broker.dead(1)
        await sandbox.inbox.accepts(6)
    assert reasons(letters) == {"open": "schema"}
    assert "NS_UNSIGNED=refuse" in str(letters[0].headers["x-detail"])


async def test_a_secret_that_never_comes_is_dead_at_the_age_limit(
    *, environment: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    async with fleet(environment | {"NS_MAX_AGE": "3s"}), patience(40):
        await broker.publish([unit(destinations=[hook("noc", secret="nowhere")])])
        letters = await broker.dead(1)
    assert reasons(letters) == {"noc": "secret_missing"}


async def test_check_says_what_of_the_folder_and_of_an_organization_would_break(
    *, sandbox: Sandbox, environment: dict[str, str]
) -> None:
    first, second = list(sandbox.world.organizations)[:2]
    asked = ("check", "--json", "--organization", first, "--organization", second)

    async def look(**variables: str) -> dict[str, tuple[bool, str]]:
        probes = json.loads((await command(environment | variables, *asked)).out)["probes"]
        return {it["name"]: (it["ok"], it["detail"]) for it in probes}

    seen = await look()
    assert all(seen[name][0] for name in ("secrets", f"organization {first}", f"organization {second}"))
    [name] = sandbox.world.secrets[second]
    directory, own = Path(environment["NS_SECRETS_DIR"]), file_of(environment, second, name)
    own.rename(directory / name)
    seen = await look()
    assert not seen["secrets"][0]
    assert f"{directory / name} belongs to no organization" in seen["secrets"][1]
    assert not seen[f"organization {second}"][0]
    assert f"{name}: the signing secret" in seen[f"organization {second}"][1]
    assert seen[f"organization {first}"][0]
    seen = await look(NS_SHARED_SECRETS=name)
    assert seen["secrets"][0]
    assert seen[f"organization {second}"][0]


async def test_a_running_worker_leaves_nothing_of_its_memory_in_a_core_dump(environment: dict[str, str]) -> None:
    async with fleet(environment) as (worker,):
        process = Path(f"/proc/{worker.process.pid}")
        limits = (process / "limits").read_text()
        kept = int((process / "coredump_filter").read_text(), 16)
    [line] = [it for it in limits.splitlines() if it.startswith("Max core file size")]
    assert line.split()[4:6] == ["0", "0"]
    assert kept == 0
