import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import aiohttp
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from notification_sender.adapters import health_port
from notification_sender.adapters import health_server as adapter
from notification_sender.adapters.health_port import MAX_CONNECTIONS, HealthPort, Request
from notification_sender.adapters.health_server import Health
from notification_sender.model.errors import ConfigurationFault
from tests.patience import patient

DEAD = 5.0


class Worker:
    """What the process says about itself, and of what loop it was asked."""

    def __init__(self) -> None:
        self.parts = {"rabbitmq": True, "redis": True, "consuming": True}
        self.told = {"in_hand": 3, "version": "0.1.0"}
        self.stuck = 0.0
        self.loop = asyncio.get_running_loop()
        self.made = 0
        self.texts: set[bool] = set()

    def ready(self) -> dict[str, bool]:
        assert asyncio.get_running_loop() is self.loop
        return self.parts

    def status(self) -> dict[str, Any]:
        assert asyncio.get_running_loop() is self.loop
        return self.told

    def refresh(self) -> None:
        assert asyncio.get_running_loop() is self.loop

    def expose(self, *, openmetrics: bool) -> bytes:
        assert threading.current_thread() is not threading.main_thread()
        self.made += 1
        self.texts = self.texts | {openmetrics}
        return b"# TYPE attempts_total counter\nattempts_total 7.0\n"


@pytest.fixture
async def worker() -> Worker:
    return Worker()


def made(worker: Worker, **options: Any) -> Health:
    return Health(
        ready=worker.ready,
        stuck=lambda: worker.stuck,
        dead=DEAD,
        status=worker.status,
        metrics=worker,
        **options,
    )


@pytest.fixture
async def health(worker: Worker) -> AsyncIterator[Health]:
    server = made(worker)
    await server.start("127.0.0.1", 0)
    yield server
    await server.stop()


@pytest.fixture
async def http(health: Health) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{health.port}") as session:
        yield session


async def test_live_follows_the_loop(http: aiohttp.ClientSession, worker: Worker) -> None:
    worker.stuck = DEAD - 1
    assert (await http.get("/livez")).status == 200
    worker.stuck = DEAD + 1
    answer = await http.get("/livez")
    assert (answer.status, await answer.json()) == (503, {"live": False, "stuck_seconds": 6.0})


@pytest.mark.parametrize("away", ["rabbitmq", "redis", "consuming"])
async def test_readiness_names_each_part(http: aiohttp.ClientSession, worker: Worker, away: str) -> None:
    assert (await http.get("/readyz")).status == 200
    worker.parts[away] = False
    answer = await http.get("/readyz")
    assert answer.status == 503
    assert await answer.json() == {"ready": False, "rabbitmq": True, "redis": True, "consuming": True} | {away: False}
    assert (await http.get("/livez")).status == 200


async def test_status_is_json(http: aiohttp.ClientSession, worker: Worker) -> None:
    assert await (await http.get("/status")).json() == worker.told


async def test_prometheus_reads_the_metrics(http: aiohttp.ClientSession) -> None:
    answer = await http.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    [family] = text_string_to_metric_families(await answer.text())
    assert family.samples[0].value == 7


OPEN = "application/openmetrics-text"


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain;version=0.0.4, application/openmetrics-text;q=0.5", False),
        (f"{OPEN};q=0, text/plain;q=0", False),
        (f"{OPEN};q=much", False),
        (OPEN, True),
        (f"{OPEN};version=1.0.0,{OPEN};version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
    ],
)
async def test_who_asks_for_openmetrics_gets_it(
    http: aiohttp.ClientSession, worker: Worker, accept: str, *, openmetrics: bool
) -> None:
    answer = await http.get("/metrics", headers={"accept": accept})
    assert (answer.content_type, worker.texts) == (OPEN if openmetrics else "text/plain", {openmetrics})


async def test_nothing_else_is_served(http: aiohttp.ClientSession) -> None:
    assert (await http.get("/")).status == 404
    assert (await http.post("/status")).status == 405


async def test_no_request_is_logged(http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "aiohttp")
    await http.get("/livez")
    assert not caplog.records


async def test_a_port_in_use_is_a_configuration_fault(health: Health, worker: Worker) -> None:
    second = made(worker)
    with pytest.raises(ConfigurationFault, match=f"NS_HTTP_PORT.*127.0.0.1:{health.port}"):
        await second.start("127.0.0.1", health.port)
    await second.stop()
    assert second.port == 0


async def test_after_the_stop_nobody_answers(health: Health) -> None:
    port = health.port
    await health.stop()
    await health.stop()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"http://127.0.0.1:{port}/livez")


# --- whoever connects ----------------------------------------------------------------------------------------------


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> float:
    """Short: what keeps the port waiting is over soon."""
    monkeypatch.setattr(health_port, "REQUEST_TIMEOUT", 0.3)
    return 0.3


class Client:
    """One connection that says what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def says(self, *parts: bytes) -> bytes:
        """All that comes back until the other side hangs up."""
        with suppress(ConnectionError):
            for part in parts:
                self._writer.write(part)
                await self._writer.drain()
            return await self._reader.read()
        return b""

    def leave(self) -> None:
        self._writer.transport.abort()


Connect = Callable[[], Awaitable[Client]]


@pytest.fixture
async def connect(health: Health) -> AsyncIterator[Connect]:
    clients: list[Client] = []

    async def open_one() -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", health.port, limit=2**22))
        clients.append(client)
        return client

    yield open_one
    for client in clients:
        client.leave()


async def test_a_loop_that_is_held_is_not_ready_and_its_figures_are_shown_all_the_same(
    health: Health, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked by another thread, while this loop does nothing else."""
    monkeypatch.setattr(adapter, "LOOP_TIMEOUT", 0.1)
    worker.stuck = DEAD + 1
    answers: dict[str, int] = {}

    def ask() -> None:
        for path in ("livez", "readyz", "status", "metrics"):
            answers[path] = httpx.get(f"http://127.0.0.1:{health.port}/{path}", timeout=patient(15)).status_code

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join(patient(60))
    assert answers == {"livez": 503, "readyz": 503, "status": 503, "metrics": 200}


async def test_metrics_are_made_once_for_all_who_ask_within_a_second(
    http: aiohttp.ClientSession, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "METRICS_TTL", 3600.0)
    answers = await asyncio.gather(*(http.get("/metrics") for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert worker.made == 1
    monkeypatch.setattr(adapter, "METRICS_TTL", 0.0)
    await http.get("/metrics")
    assert worker.made == 2


@pytest.mark.parametrize(
    ("peer", "own"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.9", False),
        ("::ffff:10.0.0.9", False),
        ("fe80::1%eth0", False),
    ],
)
@pytest.mark.parametrize("open_status", [True, False])
async def test_the_status_is_for_who_asks_from_this_machine_unless_it_is_open(
    worker: Worker, peer: str, *, own: bool, open_status: bool
) -> None:
    health = made(worker, open_status=open_status)
    answer = await health._answer(Request("GET", "/status", peer))
    assert answer.status == (200 if own or open_status else 403)
    assert own or open_status or b"NS_STATUS=open" in answer.body


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET /livez?verbose=1 HTTP/1.0\r\n\r\n", 200),
        (b"HEAD /readyz HTTP/1.1\r\n\r\n", 200),
        (b"POST /livez HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"GET /livez/ HTTP/1.1\r\n\r\n", 404),
        (b"GET http://x/livez HTTP/1.1\r\n\r\n", 404),
        (b"GET /livez HTTP/2\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nx: " + b"y" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /livez HTTP/1.1\r\n\r\n" + b"GET /livez HTTP/1.1\r\n\r\n" * 50, 200),
    ],
)
async def test_whatever_is_said_is_answered_once_and_hung_up(connect: Connect, said: bytes, status: int) -> None:
    answer = await (await connect()).says(said)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.endswith(b"\r\n\r\n") == (status != 200 or said.startswith(b"HEAD"))


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("half", [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n", b"\r\n"])
async def test_half_a_request_is_hung_up_on(connect: Connect, half: bytes) -> None:
    assert await (await connect()).says(half) == b""


@pytest.mark.usefixtures("patience")
async def test_who_does_not_take_its_answer_is_hung_up_on(
    connect: Connect, http: aiohttp.ClientSession, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than all buffers of a connection hold."""
    monkeypatch.setattr(worker, "expose", lambda **_: b"x" * 2**25)
    slow = await connect()
    slow._writer.transport.pause_reading()  # type: ignore[attr-defined]
    slow._writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
    for served in (True, False):
        while (tasks_of(worker) > 0) is not served:  # noqa: ASYNC110 - it cannot be awaited
            await asyncio.sleep(0)
    assert (await http.get("/livez")).status == 200


def tasks_of(_: Worker) -> int:
    """Connections that are served now."""
    return sum(len(it._open) for it in gc.get_objects() if type(it) is HealthPort)


@pytest.mark.long
async def test_two_thousand_half_requests_keep_nobody_out_and_no_more_than_64_open(
    connect: Connect, http: aiohttp.ClientSession, worker: Worker
) -> None:
    most = 0
    for number in range(2000):
        client = await connect()
        client._writer.write(b"GET /livez HTTP/1.1\r\n")
        if number % 100 == 99:
            assert (await http.get("/readyz")).status == 200
            most = max(most, tasks_of(worker))
        if number >= 500:
            client.leave()
    assert 0 < most <= MAX_CONNECTIONS
