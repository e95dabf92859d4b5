"""Texts that are made to take long, in the record of one organization; another one's units, and the worker itself."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.fleet import Worker, fleet
from tests.e2e.reading import payload, posts_at
from tests.faults.rows import row
from tests.patience import patience

Make = Callable[..., dict[str, Any]]

SHIPPED = Path(__file__).parents[2] / "templates" / "intel" / "webhook.json.j2"
TEMPLATES = {
    "intel/webhook.json.j2": SHIPPED.read_text(),
    "intel/email.none": "",
    "page/email.subject.j2": "About {{ unit.incident_id }}",
    "page/email.html.j2": "<p>{{ incident.location.thoroughfare | safe }}</p>",
    "endless/webhook.json.j2": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}{}",
    "vast/webhook.json.j2": '{"a": "{{ "a" | center(9999999999) }}"}',
    "outside/webhook.json.j2": '{"a": {{ destination.parse_file("/etc/passwd") | tojson }}}',
}
PATIENCE = 20.0
"""Seconds in which a health port answers on a machine that has much else to do. A text of these held it for minutes."""


@pytest.fixture
def templates(tmp_path: Path) -> str:
    folder = tmp_path / "templates"
    for name, text in TEMPLATES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return str(folder)


async def lives(worker: Worker, over: asyncio.Event) -> int:
    """How often its health port answered until it was over."""
    answered = 0
    while not over.is_set():
        async with patience(PATIENCE):
            assert (await worker.get("/livez")).status_code == 200
        answered += 1
        await asyncio.sleep(0.05)
    return answered


@row(102, "texts that are made to take long: patterns, a time zone, a page, templates")
async def test_texts_that_are_made_to_take_long_cost_their_own_destination_alone(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, about: Make, hook: Make, mail: Make, templates: str
) -> None:
    [first, second, *_] = sandbox.world.organizations
    numbers = {it["organization_id"]: place for place, it in enumerate(sandbox.world.incidents.values())}
    incident = sandbox.world.incidents[f"inc-{numbers[first]:05d}"]
    incident["location"]["thoroughfare"] = "<b><div>" * 20_000 + "</b>" * 20_000
    sandbox.world.organizations[first] |= {
        "timezone": "Europe/" * 9_000,
        "destinations": [
            hook("fine"),
            hook("greedy", events=["*a" * 127 + "*b"] * 64),
            hook("long", events=["*a" * 8_000 + "b"]),
            hook("set", events=["incident.[cu]*"]),
            mail("page", template="page"),
            *(hook(name, template=name) for name in ("endless", "vast", "outside")),
        ],
    }
    others = [about(numbers[second], destinations=[hook(f"other-{number}")]) for number in range(40)]
    async with fleet(environment | {"NS_TEMPLATES_DIR": templates, "NS_CURRENT_INCIDENTS": "off"}) as (worker,):
        over = asyncio.Event()
        watched = asyncio.create_task(lives(worker, over))
        await broker.publish(others[:20])
        await broker.publish([about(numbers[first], channels=None, event="a" * 256) for _ in range(3)])
        await broker.publish(others[20:])
        async with patience(90):
            letters = await broker.dead(3 * 6)
            await sandbox.inbox.accepts(len(others) + 3)
        over.set()
        assert await watched
        assert worker.process.returncode is None
    assert all(posts_at(sandbox.inbox, f"other-{number}") for number in range(40))
    assert all("timezone" in payload(post)["data"]["degraded"] for post in posts_at(sandbox.inbox, "fine"))
    ends = Counter((orjson.loads(it.body)["destination"]["destination_id"], it.headers["x-reason"]) for it in letters)
    reasons = {"schema": ("long", "set"), "render": ("page", "endless", "vast", "outside")}
    assert ends == {(name, reason): 3 for reason, names in reasons.items() for name in names}
    assert "root:" not in "".join(worker.raw)
