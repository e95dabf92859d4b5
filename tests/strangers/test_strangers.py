"""Whatever strangers send and answer: the good units are delivered, and each odd case has an end."""

import os
from collections import Counter
from dataclasses import asdict

import orjson
import pytest

from notification_sender.policy.story import Chapter, story
from tests.faults.rig import Rig
from tests.strangers import page, wire
from tests.strangers.draft import Draft, Ground, Kind, draft
from tests.strangers.ends import Ends
from tests.strangers.generator import KINDS, cases, kinds, left_out
from tests.strangers.options import Options
from tests.strangers.records import answer
from tests.strangers.run import Report, Run, reconnects, stalls
from tests.strangers.stage import Stage, names_can_be_odd
from tests.strangers.stores import stories

NOWHERE = Ground(
    inbox=lambda id_: f"http://127.0.0.1:1/hooks/{id_}",
    odd=lambda number: f"http://127.0.0.1:2/odd-{number}",
    named=lambda number: f"http://odd-{number}.strangers.example:1/",
)


def drawn_cases(seed: int, count: int = 400) -> list[tuple[object, ...]]:
    """All that leaves us for each case."""
    return [
        (it.kind, it.body, it.encoded, it.copies, it.answer, it.dialogue, it.resolved, it.stored, it.ends, _records(it))
        for it in cases(seed, count, NOWHERE)
    ]


def _records(odd: Draft) -> list[object]:
    return [answer(it).body for it in (odd.organization, odd.incident, odd.asset)]


def test_a_seed_gives_the_same_cases_and_another_one_others() -> None:
    assert drawn_cases(7) == drawn_cases(7)
    assert drawn_cases(7) != drawn_cases(8)


def test_a_long_run_has_every_kind_and_a_short_one_none_that_is_rare() -> None:
    assert {it.name for it in kinds(1, 400)} == set(KINDS)
    assert not any(it.rare for it in kinds(1, 40))
    assert max(Counter(it.name for it in kinds(1, 400) if it.rare).values()) == 1


@pytest.mark.parametrize("kind", stories.kinds, ids=lambda it: it.name)
@pytest.mark.parametrize("number", range(10))
def test_a_story_is_told_whatever_stands_in_it(kind: Kind, number: int) -> None:
    odd = draft(1, number, kind.name, NOWHERE)
    kind.make(odd)
    lines = [it for command, _, *its in odd.stored if command == "RPUSH" for it in its]
    texts = [it.decode(errors="replace") for it in lines]
    told = story("wu", [Chapter(odd.whose, "unit", "wu", {"state": "done"}, texts)])
    assert all(it["at"] is None or it["at"].endswith("Z") for it in told.events)


def test_kinds_that_are_left_out_change_no_other_case() -> None:
    whole = {it.number: it.body for it in cases(3, 100, NOWHERE)}
    some = {it.number: it.body for it in cases(3, 100, NOWHERE, without={"http", "message.priority"})}
    assert some.items() < whole.items()
    assert not left_out("record.depth", {"http", "record.dep"})


def test_a_content_header_has_its_properties_in_the_order_of_their_flags() -> None:
    encoded = wire.content_header({"timestamp": b"\x00" * 8, "content_type": wire.short(b"a")}, 5)
    assert encoded == b"\x00\x3c\x00\x00" + b"\x00" * 7 + b"\x05" + b"\x80\x40" + b"\x01a" + b"\x00" * 8


def test_the_page_has_a_line_a_seed_and_a_line_a_kind() -> None:
    report = Report(7, 2, alone=2.0, among=3.0, kinds={"http.a": {"dead": 1}, "body.b": {"put off": 1}}, faults=["one"])
    run = {"date": "today", "commit": "abc", "versions": "Python"}
    lines = page.page(run, [asdict(report)]).splitlines()
    assert "| 7 | 2 | 1.50 | 0, 0 | 0, 0 | 0 | 0 | 1 |" in lines
    assert lines.index("| body.b |  |  |  | 1 |  |  |") < lines.index("| http.a |  |  | 1 |  |  |  |")


class Said:
    """A worker that has said this."""

    def __init__(self, *events: dict[str, object]) -> None:
        self.events = list(events)


def test_stalls_that_the_machine_made_and_first_connections_are_nobodys_fault() -> None:
    stall = {"event": "loop.stalled", "ms": 700.0, "cause": "work", "timestamp": "now"}
    connected = {"event": "broker.connected", "connection": "work"}
    well = Said(stall | {"cause": "machine"}, stall | {"ms": 499.0}, connected, {"event": "redis.connected"})
    assert (stalls(well), reconnects(well)) == ([], [])
    assert stalls(Said(stall)) == ["now: 700 ms, work"]
    assert reconnects(Said(connected, connected, {"event": "redis.lost"})) == [
        "redis.lost 1 times",
        "work opened 2 times",
    ]


@pytest.mark.parametrize(
    ("said", "letters", "end", "held"),
    [
        ([], 0, None, 1),
        ([{"event": "unit.deferred"}], 0, "put off", 1),
        ([{"event": "unit.deferred"}, {"event": "unit.dead"}], 1, "dead", 0),
        ([{"event": "unit.done", "notifications": 1}], 0, None, 0),
        (
            [{"event": "notification.failed", "notification_id": "n"}, {"event": "unit.done", "notifications": 1}],
            0,
            "put off",
            1,
        ),
        ([], 1, "dead", 0),
    ],
)
def test_an_end_is_what_was_said_and_what_is_dead(
    said: list[dict[str, object]], letters: int, end: str | None, held: int
) -> None:
    [odd] = [it for it in cases(1, 40, NOWHERE) if it.number == 0]
    ends = Ends([odd], [Said(*(it | {"work_unit_id": odd.unit["work_unit_id"]} for it in said))])
    ends.read()
    for _ in range(letters):
        ends.bury(odd.body, "malformed", "decode")
    assert (ends.cases[0].end, ends.put_off) == (end, held)


def test_of_what_two_workers_said_of_one_notification_the_last_counts() -> None:
    [odd] = [it for it in cases(1, 40, NOWHERE) if it.number == 0]
    about = {"work_unit_id": odd.unit["work_unit_id"], "notification_id": "n"}
    delivered = about | {"event": "notification.delivered", "timestamp": "2026-03-06T08:26:02Z"}
    put_off = about | {"event": "notification.deferred", "timestamp": "2026-03-06T08:26:01Z"}
    ends = Ends([odd], [Said(delivered), Said(put_off)])
    ends.read()
    assert ends.cases[0].notifications == {"n": "delivered"}


@pytest.mark.timeout(600)
async def test_whatever_strangers_do_the_good_are_delivered_and_each_odd_case_has_an_end(
    rig: Rig, stage: Stage
) -> None:
    options = Options.of(os.environ)
    without = options.without if names_can_be_odd() else options.without | {"dns"}
    async with stage.open(options.count):
        odd = [
            it
            for it in cases(options.seed, options.count, stage.ground, without=without)
            if options.wants(it.number, it.kind)
        ]
        report = await Run(rig, stage, odd, Report(options.seed, options.count)).play()
    options.record(orjson.dumps(asdict(report)))
    assert not report.faults, report.describe()
