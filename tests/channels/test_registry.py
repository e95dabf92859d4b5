"""A new channel is one file and one entry: everything that the worker does for a channel, it does for that one."""

from collections.abc import AsyncIterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from notification_sender import plugins
from notification_sender.adapters.memory.pubsub import MemoryPubSub
from notification_sender.adapters.smtp.client import BACKLOG, CONNECTIONS
from notification_sender.admission import Admissions
from notification_sender.app.channels import Recipients
from notification_sender.channels import registry
from notification_sender.channels.hosts import Hosts
from notification_sender.compose import Composer
from notification_sender.deliver import AttemptResult, Deliverer
from notification_sender.model.errors import ConfigurationFault
from notification_sender.model.outcome import Dead, Deferred, Delivered, Failed
from notification_sender.policy.limits import Limit
from notification_sender.policy.retry import Age, RetryPolicy, Schedule
from notification_sender.render import Renderer
from notification_sender.render.failing import FailingTemplates
from notification_sender.settings import Settings
from notification_sender.worker.leases import LeaseKeeper
from tests.oracles.fleet import MemoryFleet
from tests.oracles.ledger import MemoryLedger
from tests.recipes.api import Bench, small_world, unit
from tests.settings.test_options import REQUIRED
from tests.virtual import VirtualClock

ENVIRONMENT = REQUIRED | {"NS_ALLOWED_CIDRS": "127.0.0.0/8", "NS_CHAT_TOKEN": "t0ken"}
NO_ANSWER = 0
TEMPLATE = "{{ incident.incident_id }} of {{ organization.name }}"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package that brings the channel ``chat``."""
    points = [EntryPoint("chat", "tests.other_package.chat:chat", registry.GROUP)]
    monkeypatch.setattr(plugins, "entry_points", lambda *, group: points if group == registry.GROUP else [])


class ChatServer:
    """Answers with the statuses that it is given (``NO_ANSWER``: it hangs up), then with 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.messages: list[tuple[str, str, dict[str, Any]]] = []
        app = web.Application()
        app.router.add_post("/rooms/{room}", self._post)
        self.server = TestServer(app, host="127.0.0.1")

    async def _post(self, request: web.Request) -> web.Response:
        self.messages.append((request.path, request.headers["authorization"], await request.json()))
        status = self.statuses.pop(0) if self.statuses else 200
        if status == NO_ANSWER and request.transport is not None:
            request.transport.abort()
        return web.Response(status=status or 200)


def built(environment: dict[str, str], clock: VirtualClock) -> Recipients:
    no_tokens: Any = None
    return Recipients(Settings.load(environment), tokens=no_tokens, clock=clock)


class Chain:
    """From a unit to the recipient: composer, deliverer and channel, as a worker has them."""

    def __init__(self, chat: ChatServer, folder: Path, environment: dict[str, str]) -> None:
        self.clock = VirtualClock()
        self.recipients = built(environment, self.clock)
        self.destination = {
            "destination_id": "noc",
            "channel": "chat",
            "server": str(chat.server.make_url("")).rstrip("/"),
        }
        (folder / "intel").mkdir()
        (folder / "intel" / "chat.txt.j2").write_text(TEMPLATE)
        parts = {name: it.parts for name, it in self.recipients.channels.items()}
        self._composer = Composer(
            gatherers={"intel": Bench(small_world(fast=False)).gatherer},
            renderer=Renderer(folder=folder, channels=parts),
            channels=self.recipients.channels,
            failing=FailingTemplates(clock=self.clock, dice=lambda: 0.0),
            clock=self.clock,
        )
        self._deliverer = self._delivering()

    def _delivering(self) -> Deliverer:
        clock = self.clock
        ledger = MemoryLedger(clock=clock, lease=30.0, ledger_ttl=1e6, story_ttl=1e5, horizon=3600.0, disable_after=5e5)
        fleet = MemoryFleet(clock=clock, period=1.0)
        return Deliverer(
            admissions=Admissions(
                ledger=ledger,
                limits=self.recipients.limits,
                count=lambda _: None,
                lease=30.0,
                clock=clock,
                dice=lambda: 0.5,
            ),
            channels=self.recipients.channels,
            hosts=Hosts(fleet=fleet, pubsub=MemoryPubSub(), clock=clock, dice=lambda: 0.5, timeout=30.0),
            retry_policy=RetryPolicy(self.recipients.schedules, delivery_max_age=1e6, platform_max_age=1e5),
            hold_unknown=self.recipients.hold_unknown,
            leases=LeaseKeeper(ledger=ledger, clock=clock, lease=30.0),
            clock=clock,
            dice=lambda: 0.5,
        )

    async def send(self, name: str, **fields: Any) -> AttemptResult:
        about = unit(work_unit_id=name, destinations=[self.destination | fields])
        composition = await self._composer.compose(about)
        [composed] = [composition.compose(it) for it in composition.targets]
        assert composed.end is None
        return await self._deliverer.deliver(composed.notification, token=name, age=Age(0.0))


@pytest.fixture
async def chat() -> AsyncIterator[ChatServer]:
    server = ChatServer()
    async with server.server:
        yield server


@pytest.mark.usefixtures("installed")
async def test_a_channel_of_another_package_is_composed_throttled_sent_and_judged(
    chat: ChatServer, tmp_path: Path
) -> None:
    chain = Chain(chat, tmp_path, ENVIRONMENT | {"NS_THROTTLE_CHAT": "1/hour burst 2", "NS_RETRY_SCHEDULE_CHAT": "9s"})
    chat.statuses = [200, 503]
    ends = [(await chain.send(name, room="noc")).outcome for name in ("wu-1", "wu-2", "wu-3")]
    await chain.recipients.close()
    assert chat.messages == [("/rooms/noc", "Bearer t0ken", {"text": "inc of Acme"})] * 2
    delivered, failed, throttled = ends
    assert isinstance(delivered, Delivered)
    assert isinstance(failed, Failed)
    assert failed.delay == 9.0
    assert isinstance(throttled, Deferred)
    assert str(throttled.because) == "throttled:chat"


@pytest.mark.usefixtures("installed")
async def test_a_channel_says_itself_what_an_unknown_outcome_means(chat: ChatServer, tmp_path: Path) -> None:
    chain = Chain(chat, tmp_path, ENVIRONMENT)
    chat.statuses = [NO_ANSWER]
    end = (await chain.send("wu-1", room="noc")).outcome
    await chain.recipients.close()
    assert len(chat.messages) == 1
    assert isinstance(end, Dead)
    assert end.reason == "unknown"


@pytest.mark.usefixtures("installed")
def test_the_options_of_a_channel_are_options_like_any_other() -> None:
    shown = Settings.load(ENVIRONMENT).effective()
    assert shown["NS_THROTTLE_CHAT"] == "60/minute burst 10"
    assert "t0ken" not in str(shown)
    clock = VirtualClock()
    default = built(ENVIRONMENT, clock)
    assert default.throttles["chat"] == Limit.parse("chat", "60/minute burst 10")
    assert default.schedules["chat"] == default.schedules["webhook"]
    chosen = built(ENVIRONMENT | {"NS_THROTTLE_CHAT": "off", "NS_RETRY_SCHEDULE_CHAT": "1s 2s"}, clock)
    assert (chosen.throttles["chat"], chosen.schedules["chat"]) == (None, Schedule.parse("1s 2s"))
    with pytest.raises(ConfigurationFault, match=r"NS_RETRY_SCHEDULE_CHAT: its longest delay .* NS_LEDGER_TTL"):
        Settings.load(ENVIRONMENT | {"NS_RETRY_SCHEDULE_CHAT": "30d"})


def test_without_the_package_its_options_are_unknown() -> None:
    with pytest.raises(ConfigurationFault, match="NS_CHAT_TOKEN: is unknown"):
        Settings.load(ENVIRONMENT)


def test_emails_are_rendered_four_for_each_connection_to_the_mail_server() -> None:
    [email] = [it for it in registry.SHIPPED if it.name == "email"]
    assert email.capacity == registry.Capacity(at_once=4 * CONNECTIONS, retry_after=BACKLOG)
