"""What is fetched for a unit is what the templates of those who are told read, and what that needs."""

from copy import copy
from pathlib import Path
from typing import Any

import pytest
from recipes.api import Bench, small_world, unit
from virtual import START, VirtualClock

from notification_sender.channels.email import Email
from notification_sender.channels.webhook import Webhook
from notification_sender.compose import Composer
from notification_sender.model.notification import decode
from notification_sender.model.unit import WorkUnit
from notification_sender.render import Renderer, shipped

HOOK = {"destination_id": "hook", "channel": "webhook", "url": "https://hooks.example/x"}


def composer(bench: Bench, folder: Path) -> Composer:
    channels: dict[str, Any] = {"webhook": Webhook, "email": Email}
    renderer = Renderer(folder=folder, channels={name: channel.parts for name, channel in channels.items()})
    return Composer(gatherers={"intel": bench.gatherer}, renderer=renderer, channels=channels, clock=VirtualClock())


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
    [composed] = await composer(bench, folder).compose(unit(**({"destinations": [HOOK]} if given else {})))
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
    assert await composer(bench, shipped()).compose(unit(destinations=[HOOK], channels=["email"])) == []
    assert not bench.platform.calls


async def test_a_template_that_is_not_there_costs_its_own_destination_only(tmp_path: Path) -> None:
    bench = Bench(small_world(fast=False))
    composing = composer(bench, templates(tmp_path, intel="{}"))
    ends = await composing.compose(unit(destinations=[HOOK, HOOK | {"destination_id": "b", "template": "nowhere"}]))
    assert [it.end and it.end.reason for it in ends] == [None, "render"]


async def test_the_unit_goes_along_only_where_somebody_may_ask_again(tmp_path: Path) -> None:
    bench = Bench(small_world(fast=False))
    composing, told = composer(bench, templates(tmp_path, intel="{}")), unit(destinations=[HOOK])
    [alone] = await composing.compose(told)
    bench.gatherer._recipe = recipe = copy(bench.gatherer._recipe)
    recipe.reasons = {}
    recipe.outdated(after="10m")(lambda incident: False)  # noqa: ARG005 - its parameters are its needs
    [along] = await composing.compose(told)
    assert (alone.notification.composed_at, alone.notification.unit) == (START, None)
    assert WorkUnit.model_validate(decode(along.notification.encode()).unit) == told.model_copy(
        update={"destinations": None}
    )
    assert (alone.notification.listed, along.notification.listed) == (False, False)


async def test_what_goes_to_an_organizations_own_destination_says_so(tmp_path: Path) -> None:
    bench = Bench(small_world(fast=False))
    bench.platform.organization["destinations"] = [HOOK]
    [composed] = await composer(bench, templates(tmp_path, intel="{}")).compose(unit())
    carried = decode(composed.notification.encode())
    assert carried.listed
    assert carried.unit is not None


async def test_a_notification_says_where_each_fact_that_it_was_made_of_came_from(tmp_path: Path) -> None:
    bench = Bench(small_world(fast=False))
    composing = composer(bench, templates(tmp_path, bare="{}", full='{"n": {{ assets | length }}}'))
    told = [HOOK | {"template": "bare"}, HOOK | {"destination_id": "b", "template": "full"}]
    bare, full = [it.notification for it in await composing.compose(unit(destinations=told))]
    assert {name: it.how for name, it in bare.sources.items()} == {"incident": "fetched"}
    assert {name: it.how for name, it in full.sources.items()} == {"incident": "fetched", "assets": "fetched"}
    assert decode(full.encode()) == full
