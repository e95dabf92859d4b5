"""The design of that day, as a process: 75 consumers, calls one after another, a lock around the throttle, claim late.

``python -m bench.incident.that_day SCALE CONSUMERS`` reads the worker's own variables, takes from the units queue until
SIGTERM, and then prints the median and the 99th percentile of a message, s, as a JSON list.
"""

import asyncio
import json
import os
import signal
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import aiohttp
import orjson
from aio_pika.abc import AbstractIncomingMessage
from redis.asyncio import Redis
from redis.asyncio.lock import Lock

from bench.incident.day import Scale

UNITS = "notification-sender.units"
RETRY = 0.1
"""Seconds between two tries to get the lock, unscaled."""

RECURSIVE = {"get_recursive_dependencies": "True", "recursive_record_types": "intel_requests"}


class Sender:
    """What one pod did with a message."""

    def __init__(self, scale: Scale, redis: Redis, session: aiohttp.ClientSession) -> None:
        self._scale = scale
        self._redis = redis
        self._session = session
        self.took: list[float] = []

    async def handle(self, message: AbstractIncomingMessage) -> None:
        began = time.monotonic()
        unit = orjson.loads(message.body)
        if not await self._redis.get(f"sent:{unit['work_unit_id']}"):
            await self._send(unit)
        await message.ack()
        self.took.append(time.monotonic() - began)

    async def _send(self, unit: dict[str, Any]) -> None:
        payload = await self._redis.get(f"payload:{unit['work_unit_id']}") or await self._payload(unit)
        await self._throttle(unit["organization_id"])
        # Only now is it asked whether somebody else is at it.
        if not await self._redis.set(f"claim:{unit['work_unit_id']}", 1, nx=True, ex=60):
            return
        await self._throttle(unit["organization_id"])
        destination = unit["destinations"][0]
        parts = urlsplit(destination["url"])
        await self._token(
            audience=destination["destination_id"],
            organization_id=unit["organization_id"],
            resource=f"{parts.scheme}://{parts.netloc}",
        )
        headers = {"webhook-id": unit["work_unit_id"]}
        async with self._session.post(unit["destinations"][0]["url"], data=payload, headers=headers) as answer:
            await answer.read()
        await self._redis.set(f"sent:{unit['work_unit_id']}", 1, ex=3600)

    async def _payload(self, unit: dict[str, Any]) -> bytes:
        token = await self._token()
        incident = await self._get("NS_INCIDENTS_URL", f"/incidents/{unit['incident_id']}", token, RECURSIVE)
        longitude, latitude = incident["location"]["geojson"]["coordinates"]
        await self._get("NS_GEOCODING_URL", "/reverse", token, {"lat": str(latitude), "lon": str(longitude)})
        ids = list({row["dependent_id"]: None for row in incident["dependents"]})
        await self._post("NS_INTEL_REQUESTS_URL", "/intel-requests/bulk", token, {"intel_request_ids": ids})
        path = f"/intel-requests/{unit['intel_request_id']}"
        await self._get("NS_INTEL_REQUESTS_URL", path, token, RECURSIVE)
        asset_ids = [it["asset_id"] for it in incident["assets"]]
        await self._post("NS_ASSETS_URL", "/assets/bulk", token, {"asset_ids": asset_ids})
        await self._get("NS_AAA_URL", f"/organizations/{unit['organization_id']}", token)
        payload = orjson.dumps({"data": incident})
        await self._redis.set(f"payload:{unit['work_unit_id']}", payload, ex=3600)
        return payload

    async def _throttle(self, organization_id: str) -> None:
        """The rate is wide enough for everything; what it costs is the lock around it."""
        name = f"throttle:{organization_id}"
        async with Lock(self._redis, f"lock:{name}", timeout=10, sleep=self._scale.seconds(RETRY)):
            due = float(await self._redis.get(name) or 0)
            await self._redis.set(name, max(due, time.time()) + 1e-4, ex=60)

    async def _token(self, **whose: str) -> str:
        """One for each message, as if there were no tomorrow."""
        form = {"grant_type": "client_credentials", "client_id": os.environ["NS_AAA_CLIENT_ID"]}
        form["client_secret"] = os.environ["NS_AAA_CLIENT_SECRET"]
        form |= whose
        async with self._session.post(f"{os.environ['NS_AAA_URL']}/oauth/token", data=form) as answer:
            return str((await answer.json())["access_token"])

    async def _get(self, api: str, path: str, token: str, query: dict[str, str] | None = None) -> Any:
        headers = {"authorization": f"Bearer {token}"}
        async with self._session.get(os.environ[api] + path, params=query, headers=headers) as answer:
            return await answer.json()

    async def _post(self, api: str, path: str, token: str, body: dict[str, list[str]]) -> Any:
        headers = {"authorization": f"Bearer {token}"}
        async with self._session.post(os.environ[api] + path, json=body, headers=headers) as answer:
            return await answer.json()


async def main(scale: Scale, consumers: int) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        Redis.from_url(os.environ["NS_REDIS_URL"], max_connections=4 * consumers) as redis,
        aiohttp.ClientSession(connector=connector) as session,
        await aio_pika.connect(os.environ["NS_AMQP_URL"]) as connection,
    ):
        sender = Sender(scale, redis, session)
        for _ in range(consumers):
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=1)
            queue = await channel.get_queue(UNITS)
            await queue.consume(sender.handle)  # type: ignore[arg-type]
        print("ready", flush=True)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()
        took = sorted(sender.took)
        print(json.dumps([took[len(took) // 2], took[len(took) * 99 // 100]] if took else [0.0, 0.0]), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Scale(float(sys.argv[1])), int(sys.argv[2])))
