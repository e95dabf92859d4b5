"""The POST of the drivers that have an event loop: one session, as many connections as there are messages."""

import aiohttp

from bench.peers.job import BODY, TARGET, headers


def session() -> aiohttp.ClientSession:
    # aiohttp's own limit of 100 connections would halve what is in flight.
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


async def post(using: aiohttp.ClientSession, webhook_id: str) -> None:
    async with using.post(TARGET, data=BODY, headers=headers(webhook_id)) as response:
        response.raise_for_status()
        await response.read()
