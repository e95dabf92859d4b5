"""What every row stands on."""

from collections.abc import Callable

import pytest

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.conftest import Record, _nothing_holds_the_loop, broker, environment, sandbox, unit
from tests.faults.rig import Rig
from tests.services.rabbitmq import RabbitMQ
from tests.services.redis import Redis

__all__ = ["Record", "_nothing_holds_the_loop", "broker", "environment", "sandbox", "unit"]


@pytest.fixture
def rig(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    environment: dict[str, str],
    broker: Broker,
    rabbitmq: RabbitMQ,
    redis_service: Redis,
    unit: Callable[..., Record],
) -> Rig:
    return Rig(
        sandbox=sandbox, environment=environment, broker=broker, rabbitmq=rabbitmq, redis=redis_service, unit=unit
    )
