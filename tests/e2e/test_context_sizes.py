"""What a unit costs does not grow with what depends on its subject, but by a call for each hundred."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from notification_sender.sandbox.platform.endpoints import Endpoint
from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.command import command
from tests.e2e.fleet import Worker, fleet
from tests.e2e.reading import degraded
from tests.patience import patience, patient

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def around(unit: Make, hook: Make) -> Make:
    """A work unit about this incident, for one webhook."""

    def make(incident: dict[str, Any], **fields: Any) -> dict[str, Any]:
        about = {name: incident[name] for name in ("incident_id", "organization_id")}
        return unit(**about, intel_request_id=None, fingerprint=incident["modified"], destinations=[hook("n")]) | fields

    return make


def resident(worker: Worker) -> int:
    """Bytes of memory that it has in hand."""
    pages = Path(f"/proc/{worker.process.pid}/statm").read_text().split()[1]
    return int(pages) * 4096


async def test_calls_grow_by_one_for_each_further_hundred_dependents(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, around: Make
) -> None:
    calls = []
    async with fleet(environment), patience(60):
        for number, dependents in enumerate((1, 10, 100, 250)):
            before = sandbox.platform.calls[Endpoint.INTEL_REQUESTS]
            await broker.publish([around(sandbox.world.add_incident(direct=dependents))])
            await sandbox.inbox.accepts(number + 1)
            calls.append(sandbox.platform.calls[Endpoint.INTEL_REQUESTS] - before)
    assert calls == [1, 1, 1, 3]
    assert sandbox.platform.calls[Endpoint.INTEL_REQUEST] == 0


async def test_fifty_units_in_flight_share_a_handful_of_bulk_calls(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, about: Make
) -> None:
    await command(environment, "topology")
    # All are there before the worker is: published one by one on a slow machine, each would be asked for alone.
    await broker.publish([about(number % 20) for number in range(50)])
    async with fleet(environment), patience(60):
        await sandbox.inbox.accepts(50)
    assert 1 <= sandbox.platform.calls[Endpoint.INTEL_REQUESTS] <= patient(5)  # a window of 5 ms
    assert 1 <= sandbox.platform.calls[Endpoint.ASSETS] <= patient(5)


async def test_a_template_that_reads_little_costs_little(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, around: Make, tmp_path: Path
) -> None:
    folder = tmp_path / "templates" / "intel"
    folder.mkdir(parents=True)
    text = '{"incident": {{ incident.status | tojson }}, "organization": {{ organization.name | tojson }}}'
    (folder / "webhook.json.j2").write_text(text)
    (folder / "email.none").touch()
    async with fleet(environment | {"NS_TEMPLATES_DIR": str(folder.parent)}), patience(30):
        await broker.publish([around(sandbox.world.incidents["inc-00002"])])
        await sandbox.inbox.accepts(1)
    assert set(sandbox.platform.calls) == {Endpoint.TOKEN, Endpoint.ORGANIZATION, Endpoint.INCIDENT}


async def test_thirty_thousand_rows_hold_nobody_up_and_what_is_cut_short_is_named(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, around: Make
) -> None:
    incident = sandbox.world.add_incident(direct=28, further=1072)
    async with fleet(environment) as (worker,), patience(60):
        await broker.publish([around(sandbox.world.incidents["inc-00002"])])
        await sandbox.inbox.accepts(1)
        before = resident(worker)
        await broker.publish([around(incident)])
        await sandbox.inbox.accepts(2)
        grown = resident(worker) - before
    assert degraded(sandbox.inbox.webhooks[1]) == ["dependents"]
    assert sandbox.platform.calls[Endpoint.INTEL_REQUESTS] == 1 + 10
    assert grown < 100 * 1024 * 1024
    assert [it for it in worker.events if it["event"] == "loop.stalled" and it["own_ms"] > 250] == []
