"""In Chromium hostile content runs and loads nothing, and every page is drawn at each width and in each scheme."""

import struct
import zlib
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from notification_sender.sandbox.inbox.inbox import Inbox
from notification_sender.sandbox.inbox.pages import InboxPages
from notification_sender.sandbox.platform.world import World
from notification_sender.sandbox.serving import Server
from tests.patience import patience
from tests.sandbox.inbox.hostile import SCRIPT, hostile_letter, hostile_post
from tests.services.chromium import DARK, LIGHT, Chromium

pytestmark = pytest.mark.long

PHONE, DESKTOP = (390, 844), (1280, 900)
BAR = {LIGHT: (0x16, 0x20, 0x2C), DARK: (0x09, 0x0D, 0x12)}
"""The colour of the page's first pixel."""

TRAPS = """
<link rel="stylesheet" href="{url}/link">
<style>@import "{url}/import"; body {{ background: url({url}/background) }}</style>
<meta http-equiv="refresh" content="0; url={url}/refresh">
<link rel="preload" as="image" href="{url}/preload">
<img src="{url}/img"><img src="x" onerror="new Image().src='{url}/onerror'">
<iframe src="{url}/frame"></iframe><object data="{url}/object"></object><video src="{url}/video" autoplay></video>
<svg><image href="{url}/svg"></image></svg>
<script>fetch('{url}/script', {{mode: 'no-cors'}}); top.location = '{url}/top'</script>
<form id="f" action="{url}/form"></form><script>document.getElementById('f').submit()</script>
"""
"""Each of them asks the address for something, where it may."""


class Traps:
    """A server that nobody may ask for anything."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.server = Server([("GET", "/{name}", self._ask)])

    @property
    def html(self) -> str:
        return TRAPS.format(url=self.server.url)

    async def _ask(self, request: web.Request) -> web.Response:
        self.asked.append(request.match_info["name"])
        return web.Response()


@pytest.fixture
async def traps() -> AsyncIterator[Traps]:
    traps = Traps()
    async with traps.server.serving():
        yield traps


@pytest.fixture
async def url(traps: Traps) -> AsyncIterator[str]:
    inbox = Inbox()
    inbox.webhooks.append(hostile_post())
    inbox.emails.append(hostile_letter(SCRIPT + traps.html))

    async def unguarded(_: web.Request) -> web.Response:
        return web.Response(text=traps.html, content_type="text/html")

    pages = Server([*InboxPages(inbox, World(organizations=1, incidents=1)).routes, ("GET", "/unguarded", unguarded)])
    async with pages.serving():
        yield pages.url


async def test_the_traps_work_where_nothing_guards_the_page(chromium: Chromium, traps: Traps, url: str) -> None:
    async with patience(60):
        while not {"img", "script", "link", "background", "onerror"} <= set(traps.asked):
            await chromium.dom(f"{url}/unguarded")  # it may end before the last of them is asked for


@pytest.mark.parametrize("path", ["/", "/webhooks/0", "/emails/0", "/emails/0?view=source", "/emails/0/html"])
async def test_hostile_content_runs_and_loads_nothing(chromium: Chromium, traps: Traps, url: str, path: str) -> None:
    assert "alert(1)" in await chromium.dom(url + path)
    assert traps.asked == []


@pytest.mark.parametrize("path", ["/", "/webhooks/0", "/emails/0"])
@pytest.mark.parametrize(("size", "scheme"), [(PHONE, DARK), (DESKTOP, LIGHT)], ids=["phone, dark", "desktop, light"])
async def test_a_page_is_drawn_at_each_width_and_in_each_scheme(
    chromium: Chromium, url: str, path: str, size: tuple[int, int], scheme: int
) -> None:
    png = await chromium.picture(url + path, size, scheme)
    assert struct.unpack(">II", png[16:24]) == size
    assert first_pixel(png) == BAR[scheme]


def first_pixel(png: bytes) -> tuple[int, ...]:
    """Red, green, blue: whatever filter the first row has, its first pixel is as it is."""
    place, data = 8, b""
    while place < len(png):
        length, kind = struct.unpack(">I4s", png[place : place + 8])
        if kind == b"IDAT":
            data += png[place + 8 : place + 8 + length]
        place += length + 12
    return tuple(zlib.decompress(data)[1:4])
