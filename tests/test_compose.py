"""What is fetched for a unit is what the templates of those who are told read, and what that needs."""

from copy import copy
from pathlib import Path
from typing import Any

import orjson
import pytest

from notification_sender.channels.email import Email
from notification_sender.channels.webhook import Webhook
from notification_sender.compose import Composed, Composer
from notification_sender.model import notification as model
from notification_sender.model.notification import decode
from notification_sender.model.outcome import Dead
from notification_sender.model.unit import WorkUnit
from notification_sender.ports.channels import Channel
from notification_sender.render import Renderer, shipped
from notification_sender.render.failing import FailingTemplates
from tests.recipes.api import Bench, small_world, unit
from tests.virtual import START, VirtualClock

HOOK = {"destination_id": "hook", "channel": "webhook", "url": "https://hooks.example/x"}


def composer(bench: Bench, folder: Path, **more: Any) -> Composer:
    none: Any = None  # nothing is sent
    clock = VirtualClock()
    webhook = Webhook(
        transport=none, secrets=none, trust_store=none, tokens=none, clock=clock, version="", notices=none
    )
    channels: dict[str, Channel] = {"webhook": webhook, "email": Email(mailer=None, sender=None, clock=clock)}
    renderer = Renderer(folder=folder, channels={name: channel.parts for name, channel in channels.items()})
    more = {"failing": FailingTemplates(clock=clock, dice=lambda: 0.0)} | more
    return Composer(gatherers={"intel": bench.gatherer}, renderer=renderer, channels=channels, clock=clock, **more)


async def composed_by(composing: Composer, told: WorkUnit) -> list[Composed]:
    composition = await composing.compose(told)
    return [composition.compose(it) for it in composition.targets]


def templates(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / name).mkdir()
        (folder / name / "webhook.json.j2").write_text(text)
    return folder


@pytest.mark.parametrize("given", [True, False])
async def test_what_no_template_reads_is_not_fetched(tmp_path: Path, *, given: bool) -> None:
    bench = Bench(small_world(fast=False))
    bench.platform.organization["destinations"] = [HOOK]
    folder = templates(tmp_path, intel='{"n": {{ organization.name | tojson }}, "i": {{ incident.status | tojson }}}')
    [composed] = await composed_by(composer(bench, folder), unit(**({"destinations": [HOOK]} if given else {})))
    assert composed.end is None
    assert set(bench.platform.calls) == {"token", "organization", "incident"}


async def test_each_destination_adds_what_its_own_template_reads(tmp_path: Path) -> None:
    bench = Bench(small_world(fast=False))
    folder = templates(tmp_path, bare="{}", full='{"n": {{ assets | length }}}')
    composing = composer(bench, folder)
    await composing.compose(unit(destinations=[HOOK | {"template": "bare"}]))
    assert set(bench.platform.calls) == {"token", "organization", "incident"}
    await composing.compose(
        unit(destinations=[HOOK | {"template": "bare"}, HOOK | {"destination_id": "b", "template": "full"}])
    )
    assert set(bench.platform.calls) == {"token", "organization", "incident", "assets/bulk"}


async def test_where_nobody_is_told_nothing_is_fetched() -> None:
    bench = Bench(small_world(fast=False))
    assert await composed_by(composer(bench, shipped()), unit(destinations=[HOOK], channels=["email"])) == []
    assert not bench.platform.calls


async def test_a_template_that_is_not_there_costs_its_own_destination_only(tmp_path: Path) -> None:
    bench = Bench(small_world(fast=False))
    composing = composer(bench, templates(tmp_path, intel="{}"))
    told = unit(destinations=[HOOK, HOOK | {"destination_id": "b", "template": "nowhere"}])
    ends = await composed_by(composing, told)
    assert [it.end and it.end.reason for it in ends] == [None, "render"]


async def test_what_no_parked_copy_could_hold_is_dead_as_too_large_and_its_letter_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "MAX_BYTES", 2000)
    monkeypatch.setattr(model, "ALWAYS_FITS", 0)
    bench = Bench(small_world(fast=False))
    folder = templates(tmp_path, intel="{}", large='{"x": "{% for _ in range(2000) %}x{% endfor %}"}')
    destinations = [HOOK, HOOK | {"destination_id": "b", "template": "large"}]
    well, large = await composed_by(composer(bench, folder), unit(destinations=destinations))
    assert well.end is None
    assert large.end is not None
    assert (large.end.reason, large.notification.content) == ("too_large", {})
    assert decode(large.notification.encode()) == large.notification


async def test_the_unit_goes_along_only_where_somebody_may_ask_again(tmp_path: Path) -> None:
    bench = Bench(small_world(fast=False))
    composing, told = composer(bench, templates(tmp_path, intel="{}")), unit(destinations=[HOOK])
    [alone] = await composed_by(composing, told)
    bench.gatherer._recipe = recipe = copy(bench.gatherer._recipe)
    recipe.reasons = {}
    recipe.outdated(after="10m")(lambda incident: False)  # noqa: ARG005 - its parameters are its needs
    [along] = await composed_by(composing, told)
    assert (alone.notification.composed_at, alone.notification.unit) == (START, None)
    assert WorkUnit.model_validate(decode(along.notification.encode()).unit) == told.model_copy(
        update={"destinations": None}
    )
    assert (alone.notification.listed, along.notification.listed) == (False, False)


async def test_what_goes_to_an_organizations_own_destination_says_so(tmp_path: Path) -> None:
    bench = Bench(small_world(fast=False))
    bench.platform.organization["destinations"] = [HOOK]
    [composed] = await composed_by(composer(bench, templates(tmp_path, intel="{}")), unit())
    carried = decode(composed.notification.encode())
    assert carried.listed
    assert carried.unit is not None


async def test_a_notification_says_where_each_fact_that_it_was_made_of_came_from(tmp_path: Path) -> None:
    bench = Bench(small_world(fast=False))
    composing = composer(bench, templates(tmp_path, bare="{}", full='{"n": {{ assets | length }}}'))
    told = [HOOK | {"template": "bare"}, HOOK | {"destination_id": "b", "template": "full"}]
    bare, full = [it.notification for it in await composed_by(composing, unit(destinations=told))]
    assert {name: it.how for name, it in bare.sources.items()} == {"incident": "fetched"}
    assert {name: it.how for name, it in full.sources.items()} == {"incident": "fetched", "assets": "fetched"}
    assert decode(full.encode()) == full


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize(
    "events", [["[ab]*"], ["a" * 257], ["incident.*"] * 65], ids=["a set", "a long one", "too many"]
)
async def test_patterns_that_cannot_be_read_cost_their_own_destination_only(
    tmp_path: Path, events: list[str], *, given: bool
) -> None:
    bench = Bench(small_world(fast=False))
    destinations = [HOOK, HOOK | {"destination_id": "odd", "events": events}, HOOK | {"destination_id": "b"}]
    bench.platform.organization["destinations"] = destinations
    composing = composer(bench, templates(tmp_path, intel="{}"))
    told = unit(**({"destinations": destinations} if given else {}))
    ends = {it.notification.destination.destination_id: it.end for it in await composed_by(composing, told)}
    [(name, odd)] = [it for it in ends.items() if it[1] is not None]
    assert isinstance(odd, Dead)
    assert (len(ends), name, odd.reason) == (3, "odd", "schema")
    assert "events" in odd.detail


@pytest.mark.parametrize(
    ("timezone", "degraded"),
    [
        ("Europe/Zurich", []),
        (None, []),
        ("Mars/Olympus", ["timezone"]),
        ("../" * 20_000, ["timezone"]),
        ("Europe/" * 9_000, ["timezone"]),
        (["UTC"], ["timezone"]),
        (7, ["timezone"]),
    ],
    ids=lambda it: str(it)[:20],
)
async def test_a_time_zone_that_there_is_not_is_utc_and_says_so(
    tmp_path: Path, timezone: object, degraded: list[str]
) -> None:
    bench = Bench(small_world(fast=False))
    bench.platform.organization |= {"destinations": [HOOK], "timezone": timezone}
    text = '{"zone": {{ organization | at("timezone") | zone | tojson }}, "degraded": {{ degraded | tojson }}}'
    [composed] = await composed_by(composer(bench, templates(tmp_path, intel=text)), unit())
    data = orjson.loads(composed.notification.content["json"])["data"]
    assert data == {"zone": "UTC" if degraded or timezone is None else timezone, "degraded": degraded}
    assert list(composed.notification.degraded) == degraded
