import re
from collections.abc import AsyncIterator
from html import unescape
from html.parser import HTMLParser

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from notification_sender.sandbox.inbox.arrivals import Filter, arrivals
from notification_sender.sandbox.inbox.inbox import Inbox
from notification_sender.sandbox.inbox.pages import PAGE, InboxPages
from notification_sender.sandbox.platform.world import World
from tests.sandbox.inbox.hostile import SCRIPT, hostile_letter, hostile_post, letter, post

WORLD = World(organizations=3, incidents=3)
Client = TestClient[web.Request, web.Application]


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
async def client(inbox: Inbox) -> AsyncIterator[Client]:
    application = web.Application()
    for method, path, handler in InboxPages(inbox, WORLD).routes:
        application.router.add_route(method, path, handler)
    async with TestClient(TestServer(application)) as client:
        yield client


async def get(client: Client, path: str) -> str:
    async with client.get(path) as response:
        assert response.status == 200
        return await response.text()


def rows(html: str) -> list[str]:
    return re.findall(r'<a class="row" href="([^"]+)"', html)


class Tags(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names, self.attributes, self.addresses = set[str](), set[str](), set[str]()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses |= {value or "" for name, value in attrs if name in ("href", "src", "action")}


def code(html: str) -> str:
    """What stands in the first block of code, as a reader sees it."""
    [block] = re.findall(r'<pre class="code[^>]*>(.*?)</pre>', html, re.DOTALL)[:1]
    return unescape(re.sub(r"<span[^>]*>|</span>", "", block))


async def test_an_empty_inbox_says_so(client: Client) -> None:
    assert "Nothing has arrived yet" in await get(client, "/")


async def test_the_list_has_webhooks_and_emails_the_newest_first(client: Client, inbox: Inbox) -> None:
    inbox.webhooks.append(post(b'{"type":"incident.updated","data":{"incident":{"incident_id":"inc-7"}}}'))
    inbox.emails.append(letter(to="noc@exemple-reseau.example.com"))
    html = await get(client, "/")
    assert rows(html) == ["/emails/0", "/webhooks/0"]
    for text in ("incident.updated", "inc-7", "Łódź", "mail-exemple-reseau", "hook-exemple-reseau", "00:00:01"):
        assert text in html


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["/emails/0", "/webhooks/0", "/webhooks/1"]),
        ("channel=webhook", ["/webhooks/0", "/webhooks/1"]),
        ("channel=email", ["/emails/0"]),
        ("organization=exemple-reseau", ["/webhooks/0"]),
        ("destination=hook-beispiel-netz", ["/webhooks/1"]),
        ("check=verified", ["/webhooks/0"]),
        ("check=unverified", ["/webhooks/1"]),
        ("q=ÉCHANGE", ["/webhooks/0"]),
        ("q=Fibre cut", ["/emails/0"]),
        ("q=łódź", ["/emails/0"]),
        ("q=n-1&check=unverified", ["/webhooks/1"]),
        ("q=nowhere", []),
        ("channel=<script>", []),
    ],
)
async def test_filters_narrow_the_list_and_add_up(client: Client, inbox: Inbox, query: str, found: list[str]) -> None:
    inbox.webhooks.append(post('{"type":"a","data":"Rue de l\'Échange"}'.encode()))
    inbox.webhooks.append(post(b"{}", problem="no signature matches", destination="hook-beispiel-netz"))
    inbox.emails.append(letter())
    assert rows(await get(client, f"/?{query}")) == found


async def test_a_long_list_has_pages_that_keep_the_filter(client: Client, inbox: Inbox) -> None:
    inbox.webhooks.extend(post() for _ in range(PAGE + 1))
    inbox.emails.append(letter())
    html = await get(client, "/?channel=webhook")
    assert len(rows(html)) == PAGE
    [older] = re.findall(r'href="([^"]+)" rel="next"', html)
    assert unescape(older) == f"/?channel=webhook&from={PAGE}"
    html = await get(client, unescape(older))
    assert len(rows(html)) == 1
    assert re.findall(r'href="([^"]+)" rel="prev"', html) == ["/?channel=webhook"]
    assert not rows(await get(client, "/?from=999999999"))
    assert len(rows(await get(client, "/?from=²"))) == PAGE


async def test_a_webhook_shows_json_signature_headers_and_a_curl_command(client: Client, inbox: Inbox) -> None:
    inbox.webhooks.append(post(b'{"type":"a"}'))
    html = await get(client, "/webhooks/0")
    assert code(html) == '{\n  "type": "a"\n}'
    for text in ("The signature matches", "webhook-timestamp", "v1,x", "curl -sS -i http://127.0.0.1"):
        assert text in html
    assert code(await get(client, "/webhooks/0?view=raw")) == '{"type":"a"}'


async def test_a_webhook_that_was_not_verified_says_why(client: Client, inbox: Inbox) -> None:
    inbox.webhooks.append(post(b"\xff no json", problem="no signature matches"))
    html = await get(client, "/webhooks/0")
    assert "Not verified: no signature matches." in html
    assert "This body is not JSON" in html
    assert code(html) == "\ufffd no json"


async def test_attempts_of_one_notification_point_to_one_another(client: Client, inbox: Inbox) -> None:
    inbox.webhooks.extend([post(), post()])
    assert 'href="/webhooks/1"' in await get(client, "/webhooks/0")


@pytest.mark.parametrize("path", ["/webhooks/0", "/emails/7", "/emails/0/html", "/webhooks/99999999999999999999"])
async def test_what_never_arrived_is_not_found(client: Client, path: str) -> None:
    async with client.get(path) as response:
        assert response.status == 404


async def test_an_email_shows_html_in_a_frame_text_source_and_headers(client: Client, inbox: Inbox) -> None:
    inbox.emails.append(letter())
    html = await get(client, "/emails/0?width=phone&scheme=dark")
    assert '<iframe sandbox="" ' in html
    assert 'src="/emails/0/html?scheme=dark"' in html
    assert 'class="stage phone dark"' in html
    assert await get(client, "/emails/0/html") == "<p>Fibre cut.</p>\n"
    assert code(await get(client, "/emails/0?view=text")) == "Fibre cut.\n"
    assert code(await get(client, "/emails/0?view=source")) == inbox.emails[0].raw.decode()
    assert "m-1@example.com" in await get(client, "/emails/0?view=headers")


async def test_an_email_without_html_says_so(client: Client, inbox: Inbox) -> None:
    inbox.emails.append(letter(None))
    assert "no HTML part" in await get(client, "/emails/0")
    assert await get(client, "/emails/0/html") == ""


HOSTILE = ("/", "/webhooks/0", "/webhooks/0?view=raw", "/emails/0", "/emails/0?view=text", "/emails/0?view=source")
HOSTILE += ("/emails/0?view=headers", f"/?q={SCRIPT}", f"/?organization={SCRIPT}&from={SCRIPT}")


@pytest.mark.parametrize("path", HOSTILE)
async def test_hostile_content_is_text_on_every_page(client: Client, inbox: Inbox, path: str) -> None:
    inbox.webhooks.append(hostile_post())
    inbox.emails.append(hostile_letter())
    html = await get(client, path)
    assert "{{7*7}}" in html
    tags = Tags(html)
    assert not tags.names & {"script", "img", "textarea", "object", "embed", "base"}
    assert not [name for name in tags.attributes if name.startswith("on")]
    assert all(it.startswith(("/", "?", "data:,")) for it in tags.addresses)


@pytest.mark.parametrize("path", ["/", "/webhooks/0", "/emails/0"])
async def test_no_page_may_run_a_script_or_load_from_elsewhere(client: Client, inbox: Inbox, path: str) -> None:
    inbox.webhooks.append(post())
    inbox.emails.append(letter())
    async with client.get(path) as response:
        policy = response.headers["content-security-policy"].split("; ")
        assert "default-src 'none'" in policy
        assert "frame-src 'self'" in policy
        assert not [rule for rule in policy if rule.startswith("script-src") or "unsafe" in rule or "*" in rule]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"


async def test_the_html_of_an_email_has_no_permission_even_in_a_tab_of_its_own(client: Client, inbox: Inbox) -> None:
    inbox.emails.append(hostile_letter())
    async with client.get("/emails/0/html") as response:
        policy = response.headers["content-security-policy"].split("; ")
        assert {"sandbox", "default-src 'none'", "form-action 'none'", "base-uri 'none'"} <= set(policy)
        assert not [rule for rule in policy if "http" in rule or "*" in rule or "script" in rule]
        assert SCRIPT in await response.text()


async def test_the_style_sheet_is_served(client: Client) -> None:
    assert "prefers-color-scheme: dark" in await get(client, "/style.css")


def test_odd_bodies_have_a_line_in_the_list(inbox: Inbox) -> None:
    bodies = (b"", b"[]", b"1", b'{"data":[]}', b'{"type":["a"],"data":{"incident":"x"}}', b"\xff")
    inbox.webhooks.extend(post(body) for body in bodies)
    found = arrivals(inbox, WORLD)
    assert all(it.title and isinstance(it.hint, str) for it in found)
    assert all(Filter().wants(it) for it in found)
