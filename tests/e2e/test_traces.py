"""One trace over real processes: the publisher's command, and two workers, one after the other."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.command import command
from tests.e2e.fleet import fleet
from tests.patience import patience

Make = Callable[..., dict[str, Any]]
TRACE = "ab" * 16


class Receiver:
    """Takes spans as a collector does."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.processes: set[str] = set()
        self._taken = asyncio.Condition()

    async def take(self, request: web.Request) -> web.Response:
        for group in ExportTraceServiceRequest.FromString(await request.read()).resource_spans:
            resource = {it.key: it.value.string_value for it in group.resource.attributes}
            self.processes.add(resource["service.instance.id"])
            self.spans.extend(span for scope in group.scope_spans for span in scope.spans)
        async with self._taken:
            self._taken.notify_all()
        return web.Response(body=ExportTraceServiceResponse().SerializeToString())

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/v1/traces", self.take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def has(self, name: str, times: int) -> None:
        """Wait for so many spans of this name: the last flush of a process is bounded, and a machine may be slow."""
        async with patience(30), self._taken:
            await self._taken.wait_for(lambda: len(self.named(name)) >= times)

    def named(self, name: str) -> list[Any]:
        """In the order of their start."""
        found = (span for span in self.spans if span.name.startswith(name))
        return sorted(found, key=lambda it: it.start_time_unix_nano)

    def path(self, span: Any) -> Iterator[str]:
        """The names from this span up to the first."""
        by_id = {it.span_id: it for it in self.spans}
        while span is not None:
            yield span.name.rpartition(".")[2]
            span = by_id.get(span.parent_span_id)


async def test_one_trace_goes_from_publish_over_a_failed_attempt_to_the_answer_of_the_recipient(
    sandbox: Sandbox, hasty: dict[str, str], unit: Make, hook: Make
) -> None:
    receiver = Receiver()
    sandbox.inbox.behaviours["flaky"].script.append(500)
    async with receiver.listening() as endpoint:
        traced = hasty | {
            "NS_TRACES": "on",
            "NS_RETRY_SCHEDULE": "20s",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        }
        async with fleet(traced) as [first]:
            body = json.dumps(unit(destinations=[hook("flaky")])).encode()
            published = await command(traced | {"TRACEPARENT": f"00-{TRACE}-{'cd' * 8}-01"}, "publish", "-", stdin=body)
            failed = await first.says("notification.failed")
            await receiver.has("process", 1)
            assert await first.stop() == 0  # before the next attempt is due
        async with fleet(traced), patience(30):
            await sandbox.inbox.accepts(1)
            await receiver.has("attempt", 2)
    assert published.code == 0
    assert failed["trace_id"] == TRACE
    assert len(receiver.processes) == 3
    assert {it.trace_id.hex() for it in receiver.spans if it.name != "POST /oauth/token"} == {TRACE}
    one, two = receiver.named("attempt")
    assert [[*receiver.path(it)] for it in (one, two)] == [
        ["attempt webhook", "create notification", "units", "units"]
    ] * 2
    assert [[link.span_id for link in it.links] for it in (one, two)] == [[], [one.span_id]]
    assert [[*receiver.path(it)][1] for it in receiver.named("send webhook")] == ["attempt webhook"] * 2
    called = [it for it in receiver.named("GET") if it.trace_id.hex() == TRACE]
    assert called
    assert {[*receiver.path(it)][1] for it in called} == {"units"}
    assert not any("traceparent" in {name.lower() for name, _ in it.headers} for it in sandbox.inbox.webhooks)


async def test_a_receiver_that_is_away_delays_neither_deliveries_nor_the_end(
    sandbox: Sandbox, environment: dict[str, str], unit: Make
) -> None:
    away = environment | {"NS_TRACES": "on", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    async with fleet(away | {"OTEL_BSP_SCHEDULE_DELAY": "100"}) as [worker]:
        published = await command(away, "publish", "-", stdin=json.dumps(unit()).encode())
        async with patience(30):
            await sandbox.inbox.accepts(1)
        assert await worker.stop() == 0
    assert published.code == 0
    assert "Traceback" not in "".join(worker.raw)
    assert "Traceback" not in published.err


@pytest.mark.parametrize("extra", [{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}])
async def test_a_worker_that_cannot_export_says_so_and_does_not_start(
    environment: dict[str, str], extra: dict[str, str]
) -> None:
    ended = await command(environment | {"NS_TRACES": "on"} | extra, "run")
    assert ended.code == 78
    assert "OTEL_EXPORTER_OTLP_PROTOCOL" in ended.err
