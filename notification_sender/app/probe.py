"""Would it work here? Everything that the settings point to, reached once, side by side."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from notification_sender.adapters import scripts
from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.smtp import Server
from notification_sender.app.recipients import Recipients
from notification_sender.app.services import broker, store
from notification_sender.app.upstreams import Upstreams
from notification_sender.model.errors import NotificationSenderError
from notification_sender.render import Renderer, shipped
from notification_sender.settings import Settings
from notification_sender.telemetry import log
from notification_sender.telemetry.metrics import Metrics

PATIENCE = 5.0
"""Seconds for each: a person, or an init container, is waiting."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing that was looked at. ``detail`` says what was found, or what to do."""

    name: str
    ok: bool
    detail: str


async def probe(settings: Settings) -> list[Probe]:
    """Look at everything at once; nothing is sent, nothing is changed."""
    log.to_people()
    looks: dict[str, Callable[[Settings], Awaitable[str]]] = {
        "rabbitmq": _rabbitmq,
        "redis": _redis,
        "aaa": _aaa,
        "templates": _templates,
        "lua": _lua,
    }
    for name in ("incidents", "intel_requests", "assets", "geocoding"):
        url = urlsplit(getattr(settings, f"{name}_url"))
        looks[name] = _listens(url.hostname or "", url.port or {"http": 80}.get(url.scheme, 443))
    if settings.smtp_url is not None:
        server = Server.parse(settings.smtp_url.get_secret_value())
        looks["smtp"] = _listens(server.host, server.port)
    return await asyncio.gather(*(_look(name, look, settings) for name, look in looks.items()))


async def _look(name: str, look: Callable[[Settings], Awaitable[str]], settings: Settings) -> Probe:
    try:
        return Probe(name, ok=True, detail=await asyncio.wait_for(look(settings), PATIENCE))
    except TimeoutError:
        return Probe(name, ok=False, detail=f"no answer within {PATIENCE:g} s: is it there, and may we reach it?")
    except (NotificationSenderError, OSError) as fault:
        return Probe(name, ok=False, detail=str(fault))


async def _rabbitmq(settings: Settings) -> str:
    rabbitmq = broker(settings, SystemClock())
    try:
        await rabbitmq.connect()
    finally:
        await rabbitmq.close()
    return "connected; queues and exchanges are as they should be"


async def _redis(settings: Settings) -> str:
    opened = store(settings)
    try:
        await opened.connect()
    finally:
        await opened.redis.close()
    return "connected; runs scripts"


async def _aaa(settings: Settings) -> str:
    upstreams = Upstreams(settings, store=store(settings), clock=SystemClock(), metrics=Metrics())
    try:
        await upstreams.check_token()
    finally:
        await upstreams.close()
    return "gave a service token"


async def _templates(settings: Settings) -> str:
    upstreams = Upstreams(settings, store=store(settings), clock=SystemClock(), metrics=Metrics())
    recipients = Recipients(settings, tokens=upstreams.outbound_tokens, clock=SystemClock())
    folder = settings.templates_dir or shipped()
    Renderer(folder=folder, channels={name: it.parts for name, it in recipients.channels.items()})
    return f"all of {folder} compile"


async def _lua(_: Settings) -> str:
    ledger = ("record", "claim", "admit", "begin", "settle", "renew", "enroll")
    for name in (*ledger, "fact", "lease", "fill", "extend", "allot"):
        scripts.load(name)
    return "all scripts found"


def _listens(host: str, port: int) -> Callable[[Settings], Awaitable[str]]:
    async def look(_: Settings) -> str:
        opened = await asyncio.open_connection(host, port)
        opened[1].close()
        return f"{host}:{port} takes connections"

    return look
