"""What every row stands on."""

from collections.abc import Callable

import pytest
from e2e.broker import Broker
from e2e.conftest import Record, broker, environment, sandbox, unit
from faults.rig import Rig
from services.rabbitmq import RabbitMQ
from services.redis import Redis

from notification_sender.sandbox.sandbox import Sandbox

__all__ = ["Record", "broker", "environment", "sandbox", "unit"]


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
