"""The inbox page: a list of the arrivals, and one page for each. The server writes plain HTML; no page runs a script.

Senders control everything that the pages show. The templates escape all of it. The headers below also stop a browser
from running or loading anything. An email is shown in a frame without any permission.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from notification_sender.sandbox.inbox.arrivals import Arrival, EmailArrival, Filter, WebhookArrival, arrivals
from notification_sender.sandbox.inbox.inbox import Inbox
from notification_sender.sandbox.inbox.reading import SHOWN, coloured, curl, in_scheme, part, pretty, readable
from notification_sender.sandbox.platform.world import World
from notification_sender.sandbox.serving import Handler

FOLDER = Path(__file__).parent / "page"
T = TypeVar("T", bound=Arrival)

PAGE = 50
"""Lines of the list on one page."""

VIEWS = ("html", "text", "source", "headers")
WIDTHS = ("fit", "phone", "desktop")
SCHEMES = ("light", "dark")
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-DNS-Prefetch-Control": "off",
    "Cache-Control": "no-store",
}
OURS = SAFE | {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}
THEIRS = SAFE | {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
}
"""For the HTML of an email: no script, no form, no working link, nothing loaded."""


class InboxPages:
    """``routes`` for a server: the list at ``/``, and one page for each webhook and email."""

    def __init__(self, inbox: Inbox, world: World) -> None:
        self._inbox = inbox
        self._world = world
        loader = FileSystemLoader(FOLDER)
        self._templates = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._templates.filters |= {"time": _time, "size": _size}

    @property
    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("GET", "/", self._list),
            ("GET", "/webhooks/{number:\\d+}", self._webhook),
            ("GET", "/emails/{number:\\d+}", self._email),
            ("GET", "/emails/{number:\\d+}/html", self._email_html),
            ("GET", "/style.css", _style),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        wanted, everything = Filter.of(request.query), arrivals(self._inbox, self._world)
        found = [it for it in everything if wanted.wants(it)]
        first = _whole(request.query.get("from", ""))
        return self._page(
            "list",
            arrivals=found[first : first + PAGE],
            everything=everything,
            found=len(found),
            first=first,
            wanted=wanted,
            organizations=_names(it.organization for it in everything),
            destinations=_names(it.destination for it in everything),
            unverified=len(self._inbox.unverified),
            duplicates=self._inbox.duplicates,
            step=partial(_step, wanted),
            page=PAGE,
        )

    async def _webhook(self, request: web.Request) -> web.Response:
        arrival = self._arrival(request, WebhookArrival)
        post = arrival.post
        text, json = post.body.decode(errors="replace"), pretty(post.body)
        raw = json is None or request.query.get("view") == "raw"
        return self._page(
            "webhook",
            arrival=arrival,
            post=post,
            headers=post.headers,
            given={name.lower(): value for name, value in post.headers},
            json=json,
            raw=raw,
            body=text[:SHOWN] if raw else coloured(json or ""),
            cut=max(len(text), len(json or "")) > SHOWN,
            curl=curl(self._inbox.webhook_url(quote(post.destination_id, safe="")), post.headers, post.body),
            others=self._others(arrival),
        )

    async def _email(self, request: web.Request) -> web.Response:
        arrival = self._arrival(request, EmailArrival)
        letter = arrival.letter
        return self._page(
            "email",
            arrival=arrival,
            letter=letter,
            headers=[(name, readable(value)) for name, value in letter.headers.items()],
            view=_chosen(request, "view", VIEWS),
            html=part(letter.message, "html"),
            text=part(letter.message, "plain"),
            source=letter.raw.decode(errors="replace")[:SHOWN],
            cut=len(letter.raw) > SHOWN,
            widths=WIDTHS,
            width=_chosen(request, "width", WIDTHS),
            schemes=SCHEMES,
            scheme=_chosen(request, "scheme", SCHEMES),
            others=self._others(arrival),
        )

    async def _email_html(self, request: web.Request) -> web.Response:
        html = part(self._arrival(request, EmailArrival).letter.message, "html") or ""
        return _html(in_scheme(html, _chosen(request, "scheme", SCHEMES)), THEIRS)

    def _arrival(self, request: web.Request, kind: type[T]) -> T:
        number = int(request.match_info["number"])
        for arrival in arrivals(self._inbox, self._world):
            if isinstance(arrival, kind) and arrival.number == number:
                return arrival
        raise web.HTTPNotFound(text="Nothing of that number arrived. The list is at /")

    def _others(self, arrival: Arrival) -> list[Arrival]:
        """Return the other arrivals with the same id: earlier and later attempts, or a manual repetition."""
        same = (it for it in arrivals(self._inbox, self._world) if it.notification_id == arrival.notification_id)
        return [it for it in same if it.path != arrival.path]

    def _page(self, name: str, **facts: Any) -> web.Response:
        return _html(self._templates.get_template(f"{name}.html.j2").render(facts), OURS)


def _html(text: str, headers: dict[str, str]) -> web.Response:
    # A header or a JSON string may contain half a surrogate pair, which no encoding accepts.
    return web.Response(body=text.encode(errors="replace"), content_type="text/html", charset="utf-8", headers=headers)


async def _style(_: web.Request) -> web.Response:
    text = (FOLDER / "style.css").read_text(encoding="utf-8")
    return web.Response(text=text, content_type="text/css", headers=SAFE)


def _chosen(request: web.Request, name: str, choices: Sequence[str]) -> str:
    """Return the choice in the query of the address, or the first choice."""
    asked = request.query.get(name, "")
    return asked if asked in choices else choices[0]


def _names(values: Iterable[str]) -> Sequence[str]:
    return sorted({it for it in values if it})


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0  # noqa: PLR2004 - more digits than any list has


def _step(wanted: Filter, first: int) -> str:
    """Return the address of another page of the same list."""
    given = {name: getattr(wanted, name) for name in Filter.__slots__} | {"from": first or ""}
    return "/?" + urlencode({name: value for name, value in given.items() if value})


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%H:%M:%S}"


def _size(count: int) -> str:
    return f"{count} bytes" if count < 1024 else f"{count / 1024:.1f} KiB"  # noqa: PLR2004 - a KiB
