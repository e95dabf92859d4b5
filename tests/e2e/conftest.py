"""The whole product as it is run: real workers, RabbitMQ and Redis; only the platform and the recipients are ours."""

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e import fleet
from tests.e2e.broker import Broker
from tests.patience import option

Record = dict[str, Any]


@pytest.fixture(autouse=True)
def _nothing_holds_the_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Of any worker, whatever the test is about. ``stalls`` marks those that do it on purpose."""
    fleet.started.clear()
    yield
    if request.node.get_closest_marker("stalls") is None:
        fleet.unheld(fleet.started)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with Sandbox(tmp_path) as running:
        yield running


@pytest.fixture
def environment(sandbox: Sandbox, amqp_url: str, redis_server: str, topology_prefix: str) -> dict[str, str]:
    """A worker's variables."""
    return sandbox.environment | {
        "NS_AMQP_URL": amqp_url,
        "NS_REDIS_URL": redis_server,
        "NS_TOPOLOGY_PREFIX": topology_prefix,
        "NS_THROTTLE_WEBHOOK": "off",
        "NS_THROTTLE_EMAIL": "off",
        "NS_HTTP_HOST": "127.0.0.1",
        "NS_HTTP_PORT": "0",
        "NS_LOG_LEVEL": "debug",
    }


@pytest.fixture
def hasty(environment: dict[str, str]) -> dict[str, str]:
    """Short leases and delays: trouble is over in seconds."""
    return environment | {"NS_RETRY_SCHEDULE": "1s 1s 1s", "NS_LEASE": option(4), "NS_SEND_TIMEOUT": option(3)}


@pytest.fixture
def broker(amqp_url: str, topology_prefix: str) -> Broker:
    return Broker(amqp_url, topology_prefix)


@pytest.fixture
def unit(sandbox: Sandbox) -> Callable[..., Record]:
    """A work unit of its own about an incident of the world, for one webhook unless told otherwise."""

    def make(**fields: Any) -> Record:
        [made] = sandbox.world.work_units(1)
        made.pop("batch")
        made["work_unit_id"] = f"wu-{secrets.token_hex(6)}"
        return made | {"channels": ["webhook"]} | fields

    return make


@pytest.fixture
def about(sandbox: Sandbox, unit: Callable[..., Record]) -> Callable[..., Record]:
    """A work unit about the incident of this number, of the organization that it belongs to."""

    def make(number: int, **fields: Any) -> Record:
        incident = sandbox.world.incidents[f"inc-{number:05d}"]
        about_it = {name: incident[name] for name in ("incident_id", "organization_id")}
        return unit(**about_it, intel_request_id=None, fingerprint=incident["modified"]) | fields

    return make


@pytest.fixture
def hook(sandbox: Sandbox) -> Callable[..., Record]:
    """A webhook destination of its own in the inbox."""

    def make(destination_id: str, **fields: Any) -> Record:
        url = sandbox.inbox.webhook_url(destination_id)
        return {"destination_id": destination_id, "channel": "webhook", "url": url, "template": "intel"} | fields

    return make


@pytest.fixture
def mail() -> Callable[..., Record]:
    """An email destination of its own in the inbox."""

    def make(destination_id: str, **fields: Any) -> Record:
        to = f"{destination_id}@example.com"
        return {"destination_id": destination_id, "channel": "email", "to": to, "template": "intel"} | fields

    return make
