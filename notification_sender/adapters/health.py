"""What Kubernetes, Prometheus and operators ask this process over HTTP, answered by its own loop.

=========  =====================================================================================
/livez     200 while the loop makes progress, else 503: the process should be killed
/readyz    200 while RabbitMQ and Redis are there and we consume, else 503; names each
/metrics   Prometheus text
/status    JSON for people and ``jq``
=========  =====================================================================================
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from notification_sender.model.errors import ConfigurationFault

SHUTDOWN = 1.0
"""Seconds that an open request may take when the process ends: nobody is owed a last scrape."""


class Health:
    """A small server on the worker's own loop: a loop that is stuck must not be vouched for by a thread."""

    def __init__(
        self,
        *,
        ready: Callable[[], Mapping[str, bool]],
        live: Callable[[], bool],
        status: Callable[[], Mapping[str, Any]],
        metrics: Callable[[], bytes],
    ) -> None:
        self._ready = ready
        self._live = live
        self._status = status
        self._metrics = metrics
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """Where it listens, 0 while it does not: with ``NS_HTTP_PORT=0`` the system has chosen."""
        addresses = self._runner.addresses if self._runner else []
        return int(addresses[0][1]) if addresses else 0

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            ConfigurationFault: the address is not ours, or the port is taken.

        """
        app = web.Application()
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._scrape),
                web.get("/status", self._tell),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as fault:
            await runner.cleanup()
            raise ConfigurationFault(f"NS_HTTP_HOST, NS_HTTP_PORT: cannot listen on {host}:{port}: {fault}") from fault
        self._runner = runner

    async def stop(self) -> None:
        """Listen no more. May be called when it never started."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        live = self._live()
        return _json({"live": live}, well=live)

    async def _readyz(self, _: web.Request) -> web.Response:
        parts = dict(self._ready())
        ready = all(parts.values())
        return _json({"ready": ready, **parts}, well=ready)

    async def _scrape(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _tell(self, _: web.Request) -> web.Response:
        return _json(self._status(), well=True)


def _json(value: Mapping[str, Any], *, well: bool) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=200 if well else 503, content_type="application/json")
