"""A template that fails for everybody: a few die by it, the rest waits, and both are told when it is mended."""

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

from notification_sender.adapters.memory.broker import Message
from notification_sender.channels.webhook import Webhook
from notification_sender.compose import Composer
from notification_sender.context.gather import Gatherer
from notification_sender.context.recipe import Recipe
from notification_sender.model.errors import ContextUnavailable
from notification_sender.model.notification import decode
from notification_sender.ports.broker import Lane
from notification_sender.ports.ledger import Key
from notification_sender.recipes.authoring import Foreign
from notification_sender.render import Renderer
from notification_sender.render.failing import IN_A_ROW, FailingTemplates
from tests.context.fakes import CountingSharedCache, cache_of
from tests.virtual import VirtualClock
from tests.worker.conftest import WorkerHarness

WELL = '{"status": {{ incident.status | tojson }}}'
BROKEN = '{"status": {{ incident.state | tojson }}}'
HOOK = {"channel": "webhook", "url": "https://hooks.example/x"}
LONGEST_PAUSE = 60.0


class World:
    """Two sources, how often each was asked for, and workers that render by the templates of ``folder``."""

    def __init__(self, harness: WorkerHarness, folder: Path) -> None:
        self.harness = harness
        self.folder = folder
        self.incident: Any = {"organization_id": "org-1", "status": "open"}
        self.organization: Any = {"destinations": [HOOK | {"destination_id": "own"}]}
        self.calls: Counter[str] = Counter()
        self.rendered = 0
        self.write(intel=BROKEN, other=WELL)

    def write(self, **texts: str) -> None:
        for name, text in texts.items():
            (self.folder / name).mkdir(exist_ok=True)
            (self.folder / name / "webhook.json.j2").write_text(text)

    async def restart(self) -> None:
        """One worker in place of the one before; it reads its templates now."""
        await self.harness.worker.close(10.0)
        self.harness.composer = self._composer()
        self.harness.worker = self.harness.another()
        await self.harness.worker.start()

    async def mend(self) -> None:
        self.write(intel=WELL)
        await self.restart()

    def _composer(self) -> Any:
        body, none = self.harness, None
        cache = cache_of(body.clock, CountingSharedCache(body.clock))
        body.gatherers["intel"] = Gatherer(recipe=self._recipe(), resources={}, cache=cache, timeout=20.0)
        given: Any = dict.fromkeys(("transport", "secrets", "trust_store", "tokens", "notices"), none)
        webhook: Any = Webhook(clock=body.clock, version="", **given)
        renderer = Renderer(folder=self.folder, channels={"webhook": webhook.parts})
        render = renderer.render

        def counted(*args: Any) -> Any:
            self.rendered += 1
            return render(*args)

        renderer.render = counted  # type: ignore[method-assign]
        self.failing = FailingTemplates(clock=body.clock, dice=lambda: 0.5)
        return Composer(
            gatherers=body.gatherers,
            renderer=renderer,
            channels={"webhook": webhook},
            failing=self.failing,
            clock=body.clock,
        )

    def _recipe(self) -> Recipe:
        recipe = Recipe("intel", subject=lambda _: "incident")

        @recipe.fetched(ttl="60s", key=lambda unit: unit.incident_id)
        async def incident(unit: Any) -> Any:
            self.calls["incident"] += 1
            if isinstance(self.incident, Exception):
                raise self.incident
            if self.incident["organization_id"] != unit.organization_id:
                raise Foreign("it belongs to another organization")
            return self.incident | {"incident_id": unit.incident_id}

        @recipe.fetched(ttl="1ms")
        async def organization() -> Any:
            self.calls["organization"] += 1
            return self.organization

        return recipe

    async def publish(self, count: int, *, first: int = 0, **fields: Any) -> None:
        """Each unit about an incident of its own, for a destination of its own."""
        for number in range(first, first + count):
            own = {"destinations": [HOOK | {"destination_id": f"hook-{number}"}]} | fields
            about = {"work_unit_id": f"wu-{number}", "incident_id": f"inc-{number}"}
            await self.harness.publish(occurred_at="2026-03-06T08:00:00Z", **about, **own)

    async def letters(self, count: int) -> list[Message]:
        await self.harness.clock.until(lambda: len(self.harness.broker.dead) == count, 300.0)
        letters = list(self.harness.broker.dead)
        self.harness.broker.dead.clear()
        return letters

    async def move_back(self, *letters: Message) -> None:
        for letter in letters:
            await self.harness.broker.publish(letter.body, letter.headers, Lane.NOTIFICATIONS)

    @property
    def sent_to(self) -> Counter[str]:
        return Counter(it.destination.destination_id for _, it in self.harness.channel.sends)


@pytest.fixture
async def world(tmp_path: Path) -> Any:
    harness = WorkerHarness(VirtualClock())
    world = World(harness, tmp_path)
    await harness.worker.start()
    await world.restart()
    yield world
    await harness.worker.close(0.0)
    await harness.broker.close()


def hooks(*numbers: int) -> Counter[str]:
    return Counter(f"hook-{number}" for number in range(*numbers))


async def put_off(world: World, count: int) -> None:
    await world.harness.clock.until(lambda: len(world.harness.broker._delayed) == count)


async def test_twenty_die_the_rest_waits_and_after_the_mend_all_are_told_once(world: World) -> None:
    with structlog.testing.capture_logs() as said:
        await world.publish(100)
        letters = await world.letters(IN_A_ROW)
        await put_off(world, 80)
    assert {it.headers["x-reason"] for it in letters} == {"render"}
    failing = [it for it in said if it["event"] == "template.failing"]
    assert [(it["log_level"], it["template"], it["channel"]) for it in failing] == [("error", "intel", "webhook")]
    assert world.failing.out == ["intel/webhook"]
    await world.mend()
    await world.move_back(*letters)
    await world.harness.clock.until(world.harness.idle)
    assert world.sent_to == hooks(100)
    assert not world.harness.broker.dead
    states = Counter((key.kind, it.state) for key, it in world.harness.memory.records.items())
    assert states["notification", "delivered"] == states["unit", "done"] == 100


@pytest.mark.long
async def test_what_waits_costs_no_call_and_one_at_a_time_finds_out_at_most_once_a_minute(world: World) -> None:
    await world.publish(IN_A_ROW)
    await world.letters(IN_A_ROW)
    await world.publish(80, first=IN_A_ROW)
    await put_off(world, 80)
    began, rendered, asked = world.harness.clock.now(), world.rendered, world.calls["incident"]
    await world.harness.clock.until(lambda: world.harness.clock.now() > began + 3600.0)
    # 1, 2, 4 … 32 s, then a minute, with a fifth more or less; each asks for its own incident.
    found_out = world.rendered - rendered
    assert 3600.0 / (2 * LONGEST_PAUSE) <= found_out <= 6 + 3600.0 / (0.8 * LONGEST_PAUSE)
    assert world.calls["incident"] - asked <= found_out
    assert not world.harness.broker.dead


async def test_only_who_is_told_by_that_template_waits(world: World) -> None:
    await world.publish(IN_A_ROW)
    await world.letters(IN_A_ROW)
    both = [HOOK | {"destination_id": "bad"}, HOOK | {"destination_id": "good", "template": "other"}]
    await world.publish(1, first=50, destinations=both)
    await world.harness.clock.until(lambda: bool(world.sent_to))
    assert world.sent_to == {"good": 1}
    await world.mend()
    await world.harness.clock.until(world.harness.idle)
    assert world.sent_to == {"good": 1, "bad": 1}


async def test_one_that_is_rendered_in_between_makes_the_row_begin_again(world: World) -> None:
    world.write(intel='{"n": {{ 1 // (0 if unit.event == "odd" else 1) }}}')
    await world.restart()
    for start in range(0, 100, 20):
        await world.publish(19, first=start, event="odd")
        await world.letters(19)
        await world.publish(1, first=start + 19)
        await world.harness.clock.until(world.harness.idle)
    assert not world.failing.out
    assert sum(world.sent_to.values()) == 5


async def test_a_unit_that_can_be_rendered_ends_the_wait_of_all(world: World) -> None:
    world.write(intel='{"n": {{ 1 // (0 if unit.event == "odd" else 1) }}}')
    await world.restart()
    await world.publish(IN_A_ROW, event="odd")
    await world.letters(IN_A_ROW)
    await world.publish(30, first=100)
    await world.harness.clock.until(world.harness.idle)
    assert world.sent_to == hooks(100, 130)
    assert not world.failing.out


async def test_templates_that_only_destinations_name_die_by_themselves(world: World) -> None:
    await world.publish(50, destinations=[HOOK | {"destination_id": "slip", "template": "nope"}])
    assert {it.headers["x-reason"] for it in await world.letters(50)} == {"render"}
    assert not world.failing.out


async def test_a_kind_that_is_left_out_for_a_channel_is_suppressed_there_and_told_elsewhere(world: World) -> None:
    (world.folder / "intel" / "webhook.json.j2").unlink()
    (world.folder / "intel" / "webhook.none").touch()
    await world.restart()
    own = [HOOK | {"destination_id": "out"}, HOOK | {"destination_id": "own", "template": "other"}]
    await world.publish(30, destinations=own)
    await world.harness.clock.until(world.harness.idle)
    assert world.sent_to == {"own": 30}
    suppressed = [it for it in world.harness.memory.records.values() if it.state == "suppressed"]
    assert (len(suppressed), {it.text for it in suppressed}) == (30, {"channel_left_out out"})
    assert not world.failing.out


async def test_a_unit_that_says_no_time_speaks_against_no_template(world: World) -> None:
    for number in range(50):
        own = {"work_unit_id": f"wu-{number}", "destinations": [HOOK | {"destination_id": f"hook-{number}"}]}
        await world.harness.publish(**own)
    await world.letters(50)
    assert not world.failing.out


async def test_a_letter_that_was_never_rendered_is_composed_anew_for_its_destination_alone(world: World) -> None:
    both = [HOOK | {"destination_id": "bad"}, HOOK | {"destination_id": "good", "template": "other"}]
    await world.publish(1, destinations=both, batch={"id": "b", "size": 1})
    [letter] = await world.letters(1)
    carried = decode(letter.body)
    assert carried.unit is not None
    assert [it["destination_id"] for it in carried.unit["destinations"]] == ["bad"]
    world.incident = world.incident | {"status": "over"}
    await world.harness.clock.until(world.harness.idle)
    world.harness.clock.jump(61.0)
    await world.mend()
    await world.move_back(letter, letter)
    await world.harness.clock.until(world.harness.idle)
    assert world.sent_to == {"good": 1, "bad": 1}
    sent = world.harness.channel.sends[-1][1]
    assert (sent.notification_id, sent.replays) == (carried.notification_id, 1)
    assert orjson.loads(sent.content["json"])["data"] == {"status": "over"}


async def test_published_again_after_the_mend_it_is_done_already(world: World) -> None:
    await world.publish(1)
    [letter] = await world.letters(1)
    await world.mend()
    await world.publish(1)
    await world.harness.clock.until(world.harness.idle)
    assert not world.sent_to
    await world.move_back(letter)
    await world.harness.clock.until(world.harness.idle)
    assert world.sent_to == hooks(1)


async def test_what_an_organization_does_not_have_any_more_is_not_told(world: World) -> None:
    await world.publish(1, destinations=None)
    [letter] = await world.letters(1)
    await world.mend()
    world.organization = {"destinations": [HOOK | {"destination_id": "another"}]}
    await world.move_back(letter)
    await world.harness.clock.until(world.harness.idle)
    assert not world.sent_to
    record = world.harness.memory.records[Key("org-1", "notification", decode(letter.body).notification_id)]
    assert (record.state, record.text) == ("suppressed", "destination_removed own")


async def test_a_record_that_was_mended_meanwhile_is_told(world: World) -> None:
    world.organization = {"destinations": [{"destination_id": "own", "channel": "webhook"}]}
    await world.publish(1, destinations=None)
    [letter] = await world.letters(1)
    assert letter.headers["x-reason"] == "schema"
    world.organization = {"destinations": [HOOK | {"destination_id": "own"}]}
    await world.mend()
    await world.move_back(letter)
    await world.harness.clock.until(world.harness.idle)
    assert world.sent_to == {"own": 1}


async def test_a_record_that_came_with_its_unit_can_be_mended_in_the_letter(world: World) -> None:
    odd = {"destination_id": "odd", "channel": "webhook", "url": 7}
    await world.publish(1, destinations=[odd, HOOK | {"destination_id": "good", "template": "other"}])
    [letter] = await world.letters(1)
    body = orjson.loads(letter.body)
    assert body["unit"]["destinations"] == [odd]
    body["unit"]["destinations"] = [HOOK | {"destination_id": "odd", "template": "other"}]
    await world.harness.broker.publish(orjson.dumps(body), letter.headers, Lane.NOTIFICATIONS)
    await world.harness.clock.until(world.harness.idle)
    assert world.sent_to == {"odd": 1, "good": 1}


async def test_another_organizations_incident_is_not_told_of_either(world: World) -> None:
    await world.publish(1)
    [letter] = await world.letters(1)
    await world.mend()
    world.incident = world.incident | {"organization_id": "org-2"}
    world.harness.clock.jump(61.0)
    await world.move_back(letter)
    assert [it.headers["x-reason"] for it in await world.letters(1)] == ["tenant_mismatch"]
    assert not world.sent_to


@pytest.mark.parametrize("field", ["organization_id", "work_unit_id"])
async def test_a_unit_that_is_not_its_own_is_not_composed(world: World, field: str) -> None:
    await world.publish(1)
    [letter] = await world.letters(1)
    await world.mend()
    body = orjson.loads(letter.body)
    body["unit"][field] = "another"
    await world.harness.broker.publish(orjson.dumps(body), letter.headers, Lane.NOTIFICATIONS)
    assert [it.headers["x-reason"] for it in await world.letters(1)] == ["render"]
    assert not world.sent_to


async def test_what_expired_while_it_waited_is_not_told(world: World) -> None:
    await world.publish(IN_A_ROW)
    await world.letters(IN_A_ROW)
    await world.publish(1, first=50, expires_at="2026-03-06T09:00:00Z")
    await put_off(world, 1)
    world.harness.clock.jump(3600.0)
    await world.harness.clock.until(world.harness.idle)
    assert not world.sent_to
    assert not world.harness.broker.dead


async def test_an_api_that_is_away_when_a_letter_is_moved_back_is_waited_for(world: World) -> None:
    await world.publish(1)
    [letter] = await world.letters(1)
    await world.mend()
    well, world.incident = world.incident, ContextUnavailable("incidents: 503")
    world.harness.clock.jump(61.0)
    await world.move_back(letter)
    began = world.harness.clock.now()
    asked = world.calls["incident"]
    await world.harness.clock.until(lambda: world.harness.clock.now() > began + 600.0)
    assert world.calls["incident"] - asked <= 60
    world.incident = well
    await world.harness.clock.until(world.harness.idle)
    assert world.sent_to == hooks(1)


async def test_how_long_a_template_failed_does_not_count_as_trouble_of_an_api(world: World) -> None:
    await world.publish(IN_A_ROW)
    await world.letters(IN_A_ROW)
    await world.publish(1, first=50)
    await put_off(world, 1)
    world.harness.clock.jump(2 * 86_400.0)
    well, world.incident = world.incident, ContextUnavailable("incidents: 503")
    asked = world.calls["incident"]
    await world.mend()
    await world.harness.clock.until(lambda: world.calls["incident"] > asked + 3)
    assert not world.harness.broker.dead
    world.incident = well
    await world.harness.clock.until(world.harness.idle)
    assert world.sent_to == hooks(50, 51)


async def test_what_waits_too_long_is_dead_as_what_it_is_and_can_be_moved_back(world: World) -> None:
    await world.publish(IN_A_ROW)
    await world.letters(IN_A_ROW)
    await world.publish(1, first=50)
    await put_off(world, 1)
    world.harness.clock.jump(8 * 86_400.0)
    await world.harness.clock.until(lambda: len(world.harness.broker.dead) == 1)
    [letter] = await world.letters(1)
    assert letter.headers["x-reason"] == "render"
    await world.mend()
    await world.move_back(letter)
    await world.harness.clock.until(world.harness.idle)
    assert world.sent_to == hooks(50, 51)


async def test_slices_of_a_large_unit_wait_as_well(world: World) -> None:
    await world.publish(IN_A_ROW)
    await world.letters(IN_A_ROW)
    many = [HOOK | {"destination_id": f"hook-{number}"} for number in range(100)]
    await world.publish(1, first=50, destinations=many, batch={"id": "b", "size": 1})
    await put_off(world, 100)
    await world.mend()
    await world.harness.clock.until(world.harness.idle)
    assert world.sent_to == hooks(100)
    [outcomes] = (await world.harness.memory.unit_states("b", "org-1")).values()
    assert [it.state for it in outcomes] == ["delivered"] * 100


@pytest.mark.parametrize("listed", [True, False])
async def test_what_of_a_large_unit_died_is_told_when_it_is_moved_back(world: World, *, listed: bool) -> None:
    many = [HOOK | {"destination_id": f"hook-{number}"} for number in range(100)]
    world.organization = {"destinations": many}
    await world.publish(1, destinations=None if listed else many)
    letters = await world.letters(IN_A_ROW)
    assert all(len(it.body) < 2000 for it in letters)
    await put_off(world, 80)
    await world.mend()
    await world.move_back(*letters)
    await world.harness.clock.until(world.harness.idle)
    assert world.sent_to == hooks(100)
    assert not world.harness.broker.dead


async def test_what_was_put_off_twice_because_its_worker_died_in_between_is_told_once(world: World) -> None:
    await world.publish(IN_A_ROW)
    await world.letters(IN_A_ROW)
    await world.publish(10, first=50)
    await put_off(world, 10)
    for _, _, lane, message in list(world.harness.broker._delayed):
        await world.harness.broker.publish(message.body, message.headers, lane)
    await put_off(world, 20)
    await world.mend()
    await world.harness.clock.until(world.harness.idle)
    assert world.sent_to == hooks(50, 60)
    assert not world.harness.broker.dead
