"""The plan of a trial, its faults, its units, its score and its page."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import distributions
from itertools import chain, repeat
from random import Random
from typing import Any

import orjson
import pytest

from bench.diagnose import matrix
from bench.diagnose.__main__ import named
from bench.diagnose.faults import ALL, BESIDES
from bench.diagnose.faults.fault import Fault
from bench.diagnose.judge import LIMITS, NO_ANSWER, Expected, Verdict, read
from bench.diagnose.members import Processor
from bench.diagnose.order import in_order
from bench.diagnose.outside.install import install
from bench.diagnose.page import page
from bench.diagnose.scene import BY_ITSELF, SWEPT
from bench.diagnose.trial import Lengths, Stretch, score, trial
from bench.diagnose.units import HANGING, KIND, REGULAR, Units, world
from bench.processes import FailedError
from notification_sender.model.errors import SchemaViolation
from notification_sender.model.unit import decode
from notification_sender.recipes import GROUP
from tests.diagnose.test_judge import WHOLE


@pytest.fixture(scope="module")
def units() -> Units:
    return Units(world(), 9101, Random(1))


def test_there_are_24_faults_and_each_limit_that_is_a_fault_is_caused() -> None:
    assert len(ALL) == len({it.name for it in ALL}) == 24
    caused = {it.expected.limit for it in ALL}
    assert caused == set(LIMITS) - {"idle", "unknown"}


def test_one_seed_gives_one_order_with_each_fault_once() -> None:
    plan = in_order(ALL, 24, 7)
    assert plan == in_order(ALL, 24, 7) != in_order(ALL, 24, 8)
    assert Counter(plan) == Counter(ALL) + Counter({None: 24})


def test_faults_are_chosen_by_words_of_their_names() -> None:
    assert [it.name for it in named("aaa, frozen")] == ["AAA pool of one", "one frozen process"]
    assert named(None) == [*ALL, *BESIDES]
    with pytest.raises(SystemExit, match="no fault has 'gremlins' in its name: slow API on all calls,"):
        named("gremlins")


def test_the_names_of_subjects_are_those_of_the_world(units: Units) -> None:
    organizations = set(units.organizations)
    judged = {it.name: set(it.expected.subjects) for it in ALL if it.expected.limit in {"throttle", "paused", "secret"}}
    assert judged.pop("rate limit of all") == set()
    assert all(subjects & organizations for subjects in judged.values())


def test_units_can_be_read_and_those_that_shall_not_cannot(units: Units) -> None:
    made = [units.steady() for _ in range(500)]
    read_units = [decode(orjson.dumps(it)) for it in made]
    assert len({it.work_unit_id for it in read_units}) == 500
    regular = sum(it.organization_id in units.organizations for it in read_units)
    assert 0.2 < regular / 500 < 0.4
    assert 0.1 < sum(it["destinations"][0]["channel"] == "email" for it in made) / 500 < 0.3
    with pytest.raises(SchemaViolation):
        decode(orjson.dumps(units.unreadable()))


def test_a_hanging_destination_has_a_host_of_its_own(units: Units) -> None:
    [destination] = units.hook_of(0, HANGING[0])["destinations"]
    assert destination["destination_id"] == "hook-127-0-1-1"
    assert destination["url"] == "http://127.0.1.1:9101/hooks/hook-127-0-1-1"
    assert len(units.organizations) == REGULAR


def test_the_outside_package_is_found_by_its_entry_point(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    site = install(tmp_path)["PYTHONPATH"]
    monkeypatch.syspath_prepend(site)
    [entry] = [it for package in distributions(path=[site]) for it in package.entry_points]
    assert (entry.group, entry.name, entry.load().name) == (GROUP, KIND, KIND)


# --- a trial on a scene that is none --------------------------------------------------------------------------------


class Scene:
    """Says what it is told to, and keeps what was done."""

    def __init__(self, *answers: dict[str, Any], waited: Sequence[float] = ()) -> None:
        self.answers = list(answers)
        self.done: list[str] = []
        self.waited = chain(waited, repeat(0.0))
        self.processor = Processor(1, 0.0, 0.0)

    def processors(self) -> list[Processor]:
        """In each stretch the next of ``waited`` more, and a second of work."""
        if self.done[-1] == "asked":
            self.processor = Processor(1, self.processor.ran + 1.0, self.processor.waited + next(self.waited))
        return [self.processor]

    async def why(self) -> tuple[Verdict | None, str]:
        self.done.append("asked")
        said = json.dumps(WHOLE | self.answers.pop(0))
        return read(said), said

    async def waiting(self) -> int:
        return 3

    async def recovered(self, within: float) -> str:  # noqa: ARG002
        self.done.append("recovered")
        return BY_ITSELF if len(self.done) < 6 else SWEPT


@asynccontextmanager
async def cause(scene: Any) -> AsyncIterator[Sequence[str]]:
    scene.done.append("began")
    yield ["4711"]
    scene.done.append("ended")


FROZEN = Fault("frozen", "SIGSTOP", Expected("frozen"), cause)


async def run(scene: Any, plan: Sequence[Fault | None]) -> list[Stretch]:
    return [it async for it in trial(scene, plan, Lengths(seconds=0.0))]


async def test_a_fault_is_judged_while_it_lasts_and_all_is_well_before_the_next_begins() -> None:
    scene = Scene({"limit": "frozen", "subject": "pod 4711"}, {"limit": "idle"})
    stretches = await run(scene, [FROZEN, None])
    assert scene.done == ["recovered", "began", "asked", "ended", "recovered", "asked", "recovered"]
    assert [it.judgement.right for it in stretches] == [True, True]
    assert [it.recovered for it in stretches] == [BY_ITSELF, SWEPT]


async def test_a_fault_that_cannot_be_caused_is_not_right_and_the_trial_goes_on() -> None:
    @asynccontextmanager
    async def refused(_: Any) -> AsyncIterator[Sequence[str]]:
        raise FailedError("no such command")
        yield

    scene = Scene({"limit": "idle"})
    first, second = await run(scene, [Fault("paused", "pause", Expected("paused"), refused), None])
    assert (first.judgement.faults, first.printed) == (("it could not be caused",), "no such command")
    assert second.judgement.right


async def test_a_name_that_is_known_only_when_the_fault_began_is_judged() -> None:
    [stretch] = await run(Scene({"limit": "frozen", "subject": "pod 4712"}), [FROZEN])
    assert stretch.judgement.faults == ("the subject is pod 4712",)


async def test_a_stretch_in_which_others_had_the_processors_is_repeated_and_not_counted() -> None:
    idle, cpu = {"limit": "idle"}, {"limit": "cpu"}
    stretches = await run(Scene(cpu, idle, waited=[1.5]), [None])
    assert [(it.counts, it.judgement.right) for it in stretches] == [(False, False), (True, True)]
    result = score(stretches, ())
    assert (result.healthy, result.false_alarms, result.disturbed) == (1, 0, 1)
    always = await run(Scene(*[cpu] * 3, waited=[2.0] * 3), [None])
    assert [it.counts for it in always] == [False, False, True]
    assert score(always, ()).false_alarms == 1


def test_a_process_that_was_started_again_says_nothing_of_the_processors() -> None:
    assert Processor(1, 5.0, 3.0).starved_since(Processor(1, 4.0, 1.0), 8.0)
    assert not Processor(2, 0.5, 3.0).starved_since(Processor(1, 4.0, 1.0), 8.0)


def test_a_process_that_waits_for_a_short_part_of_the_time_or_not_for_longer_than_it_runs_is_not_starved() -> None:
    assert not Processor(1, 5.0, 3.0).starved_since(Processor(1, 4.0, 1.0), 9.0)
    assert not Processor(1, 5.0, 3.0).starved_since(Processor(1, 4.0, 2.0), 1.0)


async def test_a_trial_holds_with_23_of_24_and_without_a_false_alarm_or_advice_although_stale() -> None:
    right, wrong, idle = {"limit": "frozen", "subject": "4711"}, {"limit": "api"}, {"limit": "idle"}
    faults = await run(Scene(*[right] * 23, wrong, idle), [*[FROZEN] * 24, None])
    result = score(faults, ())
    assert (result.right, result.needed, result.false_alarms, result.holds) == (23, 23, 0, True)
    assert not score([*faults, *await run(Scene(wrong), [FROZEN])], ()).holds
    assert not score([*faults, *await run(Scene(wrong), [None])], ()).holds
    stale = await run(Scene(right | {"fresh": False}), [FROZEN])
    assert score(stale, ()).stale_advice == 1
    assert not score([*faults, *stale], ()).holds
    beside = await run(Scene(wrong), [FROZEN])
    assert score(beside, [FROZEN]).besides == ["frozen"]


def test_the_matrix_has_a_row_for_what_was_caused_and_a_column_for_what_was_said() -> None:
    cells = matrix.table([("api", "api"), ("api", "slots"), (None, "idle"), ("redis", NO_ANSWER)])
    assert cells == [
        ["caused \\ said", "api", "slots", "redis", "idle", NO_ANSWER],
        ["(healthy)", "·", "·", "·", "1", "·"],
        ["api", "1", "1", "·", "·", "·"],
        ["redis", "·", "·", "·", "·", "1"],
    ]
    assert matrix.plain(cells).splitlines()[-2] == "api            1  1  ·  ·  ·"
    assert matrix.markdown(cells).splitlines()[1] == "| --- | --: | --: | --: | --: | --: |"


async def test_the_page_has_the_seed_the_figures_and_the_rule_of_each_fault() -> None:
    stretches = await run(Scene({"limit": "api", "sentence": "a | b"}, {"limit": "idle"}), [FROZEN, None])
    text = page(stretches, [FROZEN, ALL[0]], score(stretches, ()), 42, Lengths())
    assert "Seed 42, 2 stretches of 60 s" in text
    assert "* named rightly: 0 of 1 faults (needed: 1)" in text
    assert "| frozen | SIGSTOP | `frozen` | `api`, wrong: not frozen | a \\| b |" in text
    assert f"| {ALL[0].name} | {ALL[0].what} | `api` of incidents | not run |  |" in text
