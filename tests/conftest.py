"""The real servers that the tests talk to: private, started when first asked for, shared by all tests."""

import asyncio
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import pytest_timeout
from hypothesis import HealthCheck, settings

from notification_sender.adapters.memory.redis import EmbeddedRedis
from notification_sender.adapters.redis.client import Redis as Client
from notification_sender.telemetry import log
from tests import patience
from tests.faults.rows import pytest_addoption, pytest_collection_modifyitems, pytest_runtest_makereport
from tests.patience import patient
from tests.services.chromium import Chromium
from tests.services.program import MissingProgramError, find
from tests.services.rabbitmq import RabbitMQ, running_rabbitmq
from tests.services.rabbitmq import running as rabbitmq_nodes
from tests.services.redis import Redis, running_redis
from tests.services.secured import Identities, Secured, secured_rabbitmq, secured_redis
from tests.side_by_side import pytest_configure
from tests.steered import Bench

# Nothing is slow because others work on this machine, too.
settings.register_profile("beside others", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("beside others")
# A fifth of the examples: for `make unit`. A test that needs another number says it as a multiple of
# ``settings().max_examples``.
settings.register_profile("quick", parent=settings.get_profile("beside others"), max_examples=20)

RIGHTS = os.environ.get("RIGHTS")
"""``worker``: tests log in as the users that ``deploy/rabbitmq-user`` and ``deploy/redis-acl`` make. For suites that
do no more than a worker does: ``make test RIGHTS=worker ARGS=tests/contract``.
"""

OF_TESTS = ("+keys", "+llen", "+config|set", "+script|flush")
"""What the contract suites do as administrators, by the connection that they test."""

__all__ = ["pytest_addoption", "pytest_collection_modifyitems", "pytest_configure", "pytest_runtest_makereport"]


@contextmanager
def _missing_programs_reported() -> Iterator[None]:
    """Where the program is missing a laptop skips, and CI fails: there, a skipped test is a lie."""
    try:
        yield
    except MissingProgramError as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus's program that tests rules."""
    with _missing_programs_reported():
        return find("promtool")


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """The node itself, for tests that kill it. They start it again."""
    with _missing_programs_reported(), running_rabbitmq() as node:
        yield node


@pytest.fixture(scope="session")
def amqp_url(rabbitmq: RabbitMQ, request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("of_worker_rabbitmq").url) if RIGHTS == "worker" else rabbitmq.url


@pytest.fixture
def topology_prefix() -> Iterator[str]:
    """Queues of this test alone, on the broker that all tests share. They are deleted when it ends."""
    prefix = f"test-{secrets.token_hex(4)}"
    yield prefix
    for node in rabbitmq_nodes:
        node.forget(prefix)


@pytest.fixture(scope="session")
def redis_service() -> Iterator[Redis]:
    """The server itself, for tests that kill it. They start it again."""
    with _missing_programs_reported(), running_redis() as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(redis_service: Redis, request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("of_worker_redis").url) if RIGHTS == "worker" else redis_service.url


@pytest.fixture
def redis_server(redis_service: Redis, redis_url: str) -> str:
    """The url of a server that holds nothing."""
    redis_service.flush()
    return redis_url


@pytest.fixture(scope="session")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Identities:
    return Identities.made(tmp_path_factory.mktemp("identities"))


@pytest.fixture(scope="session")
def of_worker_rabbitmq(rabbitmq: RabbitMQ, identities: Identities) -> Secured:
    """RabbitMQ for a user with the rights of a worker."""
    return secured_rabbitmq(rabbitmq, identities)


@pytest.fixture(scope="session")
def of_worker_redis(redis_service: Redis, identities: Identities) -> Secured:
    """Redis for a user with the rights of a worker. They are lost when it starts again."""
    return secured_redis(redis_service, identities, *(OF_TESTS if RIGHTS == "worker" else ()))


@pytest.fixture(scope="session")
def chromium() -> Chromium:
    with _missing_programs_reported():
        return Chromium()


@pytest.fixture(scope="module", params=["embedded", "redis"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    embedded = request.param == "embedded"
    store = EmbeddedRedis() if embedded else Client(url=request.getfixturevalue("redis_url"))
    with asyncio.Runner() as runner:
        runner.run(store.connect())
        yield Bench(store, runner, histories=40 if embedded else 150)
        runner.run(store.close())


@pytest.fixture(autouse=True, scope="session")
def _plain_log() -> None:
    """As in production: structlog's own default draws coloured tracebacks, which takes longer than the tests."""
    log.configure(form="json", level="warning")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    patience.begin()


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: pytest_timeout.Settings) -> object:
    """The limit of a test, in seconds of a quiet machine."""
    stretched = settings._replace(timeout=patient(settings.timeout))
    return pytest_timeout.pytest_timeout_set_timer(item, stretched)
