"""What publishers and templates get wrong is a dead letter; what is merely odd arrives as it is."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import aio_pika
import orjson
import pytest

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.reading import payload
from tests.e2e.test_hostile_receivers import forget_peak, resident
from tests.faults.rig import Rig
from tests.faults.rows import record, row
from tests.patience import patience, patient

Record = dict[str, Any]
MIB = 1024 * 1024


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """Of many organizations."""
    async with Sandbox(tmp_path, organizations=60, incidents=200) as running:
        yield running


async def send(rig: Rig, bodies: Iterable[bytes], **properties: Any) -> None:
    """As a publisher who minds no rule."""
    async with await aio_pika.connect(rig.rabbitmq.url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        for body in bodies:
            await channel.default_exchange.publish(aio_pika.Message(body, **properties), f"{rig.prefix}.units")


@row(78, "a message of 50 MB", quick=False)
async def test_a_vast_message_is_dead_before_it_is_read_and_costs_its_size_a_few_times(rig: Rig) -> None:
    size = 50 * MIB
    async with rig.workers(1) as (worker,):
        await rig.publish(rig.units(50))
        await rig.inbox.accepts(50)
        before = resident(worker, "VmRSS")
        forget_peak(worker)
        await send(rig, [b'{"work_unit_id": "' + b"x" * size + b'"}'])
        await rig.publish(rig.units(50))
        async with patience(60):
            [letter] = await rig.broker.dead(1)
        await rig.account()
        grown = (resident(worker, "VmHWM") - before) / MIB
    record(figure=f"{grown:.0f} MiB more at the peak")
    assert (letter.headers["x-reason"], len(letter.body)) == ("malformed", size + 20)
    # As it arrives in frames, as one, as a dead letter, and in frames again.
    assert grown <= 6 * size / MIB


@row(79, "a wrong content type, a content encoding, unknown and vast headers", quick=False)
async def test_what_stands_beside_the_body_changes_nothing_and_what_is_compressed_is_malformed(rig: Rig) -> None:
    [first, second, third] = units = rig.units(3)
    nonsense = {"x-attempt": "many", "x-first-seen": -1, "x-due": [1, {"a": None}], "x-misses": 2**60, "é": "\u2028"}
    async with rig.workers(1) as (worker,):
        await send(rig, [orjson.dumps(first)], content_type="text/html", content_encoding="gzip", headers=nonsense)
        await send(
            rig, [orjson.dumps(second)], content_type="", expiration=60, priority=9, headers={"x": "x" * 100_000}
        )
        await send(rig, [gzip.compress(orjson.dumps(third))], content_encoding="gzip")
        async with patience(30):
            [letter] = await rig.broker.dead(1)
            await rig.inbox.accepts(2)
        await rig.publish(units)
        await rig.account()
        assert worker.process.returncode is None
    assert letter.headers["x-reason"] == "malformed"


@row(80, "one of twenty messages is bad: p99 of the good ones", quick=False)
async def test_bad_messages_among_good_ones_are_dead_once_and_slow_nobody_down(rig: Rig) -> None:
    async with rig.workers(1):
        await rig.publish(rig.units(400))
        quiet = (await rig.account()).p99
        units = rig.units(400)
        bad = [[b"{", b'{"work_unit_id": 7}'][number % 2] for number in range(20)]
        await asyncio.gather(rig.publish(units), send(rig, bad))
        async with patience(30):
            letters = await rig.broker.dead(20)
        both = (await rig.account()).p99
    record(figure=f"p99 {1000 * quiet:.0f} ms without, {1000 * both:.0f} ms with")
    assert sorted(str(it.headers["x-reason"]) for it in letters) == ["malformed"] * 10 + ["schema"] * 10
    assert both <= max(1.2 * quiet, quiet + patient(0.5))


ODD = (
    "\u202eevil\u202c \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "👩‍👩‍👧‍👦 🏴󠁧󠁢󠁳󠁣󠁴󠁿",
    "Z͑ͫ̓a̴l̸g̵o e\u0301 \u00e9",
    "line\u2028separator\u2029end\u0085",
    "\x00 NUL \x1b[31m \x7f",
    "</script><script>alert(1)</script> <!-- ]]>",
    "{{7*7}} {% for x in y %} {# no #} ${7*7} <%= 7*7 %> %(x)s {0}",
    '"\\" \\u0041 \\n \'',
    "\ufeffBOM \ufffe \ufdd0 \U0010ffff",
    " \t\r\n ",
    "x" * 20_000,
    "",
)


@row(81, "right to left, emoji, NUL, markup, templates in what is told of", quick=False)
async def test_odd_text_arrives_byte_for_byte_and_is_never_evaluated(rig: Rig) -> None:
    world, units = rig.sandbox.world, []
    for number, text in enumerate(ODD):
        incident = world.incidents[f"inc-{number:05d}"]
        incident["location"]["thoroughfare"] = text
        whose = {name: incident[name] for name in ("incident_id", "organization_id")}
        own = {"intel_request_id": None, "fingerprint": text[:100] or None}
        units.append(rig.unit(**whose, **own, destinations=[rig.hook()], event="incident.updated"))
    async with rig.workers(1):
        await rig.publish(units)
        await rig.account()
    read = {data["work_unit_id"]: data for post in rig.inbox.webhooks if (data := payload(post)["data"])}
    told = [read[unit["work_unit_id"]]["incident"]["location"]["thoroughfare"] for unit in units]
    assert [(sent, got) for sent, got in zip(ODD, told, strict=True) if sent != got] == []


TEMPLATES = {
    "missing": '{"a": {{ nowhere | tojson }}}',
    "missing-part": '{"a": {{ incident.nowhere.further | tojson }}}',
    "no-json": '{"a": "{{ incident.status }}',
    "empty": "",
    "a-list": "[1]",
    "nan": '{"a": NaN}',
    "vast": '{"a": "{% for _ in range(100) %}{{ "x" * 100000 }}{% endfor %}"}',
    "divides": '{"a": {{ 1 // 0 }}}',
    "reaches-out": """{"a": "{{ incident.__class__.__mro__[1].__subclasses__() }}"}""",
    "changes": '{"a": "{{ incident.update({"status": 1}) }}"}',
    "formats": """{"a": "{{ ("{0.__class__.__init__.__globals__}").format(incident) }}"}""",
}


@pytest.fixture
def own_templates(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    folder = tmp_path / "templates"
    shipped = Path(__file__).parents[2] / "templates" / "intel"
    texts = {"intel": (shipped / "webhook.json.j2").read_text()} | request.param
    for name, text in texts.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "webhook.json.j2").write_text(text)
    (folder / "intel" / "email.none").touch()
    return str(folder)


@row(82, "a template that reads what is not there, or reaches out", quick=False)
@row(83, "a template that makes no JSON, nothing, or 10 MB", quick=False)
@pytest.mark.parametrize("own_templates", [TEMPLATES], indirect=True, ids=["all"])
async def test_what_a_template_gets_wrong_is_dead_unsigned_and_the_others_are_delivered(
    rig: Rig, own_templates: str
) -> None:
    hooks = [rig.hook(template=name) for name in TEMPLATES]
    async with rig.workers(1, NS_TEMPLATES_DIR=own_templates):
        await rig.publish([*(rig.unit(destinations=[it]) for it in hooks), *rig.units(20)])
        await rig.account(dead={"render": len(hooks)})
    assert {it.destination_id for it in rig.inbox.webhooks}.isdisjoint(it["destination_id"] for it in hooks)


@row(88, "sixty organizations, a thousand destinations, kinds of events and URLs", quick=False)
async def test_what_is_measured_does_not_grow_with_whom_it_is_about(rig: Rig) -> None:
    async def series() -> int:
        return sum(not line.startswith("#") for line in (await worker.get("/metrics")).text.splitlines())

    def units(numbers: Iterable[int]) -> list[Record]:
        made = []
        for number in numbers:
            incident = rig.sandbox.world.incidents[f"inc-{number % 100:05d}"]
            whose = {name: incident[name] for name in ("incident_id", "organization_id")}
            own = {"intel_request_id": None, "event": f"incident.{number}", "destinations": [rig.hook()]}
            made.append(rig.unit(**whose, **own))
        return made

    async with rig.workers(1) as (worker,):
        await rig.publish(units(range(50)))
        await rig.account()
        few = await series()
        await rig.publish(units(range(50, 1050)))
        await rig.account()
        many = await series()
    record(figure=f"{few} series, then {many}")
    assert many <= few + 30
