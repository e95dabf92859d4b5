"""README, tutorial and how-tos, typed into a terminal: every command of theirs works as the page has it.

The commands run in a copy of the files that git tracks, with the packages that are installed already. What a page tells
the reader to fill in is replaced by what the test started: RabbitMQ, Redis, the sandbox and its ports.
"""

import asyncio
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.command import SLOW_CLOCK
from tests.e2e.page import same
from tests.e2e.terminal import Line, Said, Terminal, blocks
from tests.patience import patience, slowness

ROOT = Path(__file__).parents[2]
README, TUTORIAL = ROOT / "README.md", ROOT / "docs" / "tutorial" / "first-delivery.md"
HOW_TO = ROOT / "docs" / "how-to"
TYPED_HERE = {README, TUTORIAL} | {
    HOW_TO / f"{it}.md" for it in ("write-a-template", "replay-dead-letters", "tune-concurrency", "rotate-a-secret")
}
TYPED_ELSEWHERE = {HOW_TO / "repair.md": "test_repair.py"}
BATCH = "nightly-2026-03-06"
SANDBOX_PORT = 9100
PORTS = 4
INSTALLS = "pip install "
RUN = re.compile(r"(?:[A-Z_]+=\S+ )*notification-sender run(?= *(?:#|$))")
DAY = 86_400
AUDIT = "notification-sender audit "

Folder = Callable[[str], Path]


@pytest.mark.parametrize("page", [README, TUTORIAL, *sorted(HOW_TO.glob("*.md"))], ids=lambda it: it.name)
def test_every_block_of_commands_is_typed_by_a_test_or_says_why_not(page: Path) -> None:
    typed = [block for block in blocks(page) if not block.reason]
    if page in TYPED_ELSEWHERE:
        assert page.name in (Path(__file__).parent / TYPED_ELSEWHERE[page]).read_text()
    elif page not in TYPED_HERE:
        assert typed == []
    assert page not in TYPED_HERE or typed
    assert page.read_text().count("```console\n") == len(blocks(page))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the tracked files, with what Python has compiled of them: else each page would compile the product."""
    folder = tmp_path / "checkout"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)  # noqa: S607 - as the page
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            _copy(ROOT / name, folder / name)
            if name.startswith("notification_sender/") and name.endswith(".py"):
                _copy(Path(cache_from_source(ROOT / name)), Path(cache_from_source(folder / name)))
    return folder


def _copy(file: Path, to: Path) -> None:
    """With its time, by which Python knows that what it compiled is still valid."""
    if file.is_file():
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, to)


def variables(checkout: Path, home: Path) -> dict[str, str]:
    """Those of a shell. ``make`` and ``python`` use what is installed, and the product is the copy's.

    ``make`` gets a folder of its own that is ready for longer than any copy: in ours it would install the copy.
    """
    prefix, ready = Path(sys.prefix), home / "venv" / ".ready"
    ready.parent.mkdir(exist_ok=True)
    if not ready.exists():
        (ready.parent / "bin").symlink_to(prefix / "bin")
        ready.touch()
        os.utime(ready, (time.time() + DAY, time.time() + DAY))
    return {
        "PATH": f"{prefix / 'bin'}:{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONPATH": f"{SLOW_CLOCK}:{checkout}",
        "TESTS_SLOWNESS": f"{slowness():.2f}",
        "VENV": str(ready.parent),
    }


class Reader:
    """Types what a page says. ``instead``: what the reader fills in, and what of this machine is taken already."""

    def __init__(self, terminal: Terminal, page: Path, instead: Mapping[str, str], known: Mapping[str, str]) -> None:
        self._terminal = terminal
        self._page = page
        self._instead = instead
        self._known = known

    async def types_page(self, before: Mapping[str, Callable[[], object]] | None = None, *, shown: bool = True) -> None:
        """Type the whole page. ``before`` does what the reader does besides, by command."""
        for line in (line for block in blocks(self._page) if not block.reason for line in block.lines):
            if line.words.startswith(INSTALLS):
                continue
            (before or {}).get(line.words, lambda: None)()
            said = await self.types(self._filled_in(line.words))
            fails = any(it.startswith("notification-sender: ") for it in line.shown)
            assert (said.code != 0) == fails, f"{self._page.name}: {line.words}: {said}"
            if shown:
                assert_shown(line, said)

    async def types(self, words: str) -> Said:
        if RUN.match(words):
            started = await self._terminal.types(f"{RUN.match(words)[0]} > worker.log 2>&1 &")  # type: ignore[index]
            await self._terminal.types("until grep -q worker.ready worker.log; do sleep 0.1; done")
            return started
        said = await self._terminal.types(words)
        if words.startswith(AUDIT):
            async with patience(60):
                while said.code or "waiting 0" not in said.text or re.search(r"waiting [1-9]", said.text):
                    await asyncio.sleep(0.1)
                    said = await self._terminal.types(words)
        return said

    def _filled_in(self, words: str) -> str:
        for old, new in self._instead.items():
            words = words.replace(old, new)
        if words.startswith("export "):
            pairs = [it.partition("=") for it in shlex.split(words, comments=True)[1:]]
            words = " ".join(
                ["export", *(f"{name}={shlex.quote(self._known.get(name, value))}" for name, _, value in pairs)]
            )
        assert "…" not in words, f"{self._page.name}: {words}"
        return words


def assert_shown(line: Line, said: Said) -> None:
    told = iter(said.text.splitlines())
    for it in line.shown:
        assert any(same(it.strip(), text) for text in told), f"{line.words} does not say {it!r}: {said}"


def free_ports() -> int:
    """The first of ``PORTS`` free ones in a row."""
    for port in range(20_000, 32_000, PORTS):
        held: list[socket.socket] = []
        try:
            held += [socket.create_server(("127.0.0.1", port + number)) for number in range(PORTS)]
        except OSError:
            continue
        finally:
            for it in held:
                it.close()
        return port
    raise AssertionError("no ports are free")


def committed(folder: Path) -> None:
    """Make a repository of it that can be cloned."""
    author = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    for words in (["init", "--quiet"], ["add", "--all"], [*author, "commit", "--quiet", "--message", "copy"]):
        subprocess.run(["git", *words], cwd=folder, check=True)  # noqa: S603, S607 - as the page


def exports(page: Path) -> set[str]:
    """The names of the variables that the reader exports."""
    lines = re.findall(r"^ *\$ export .*$", page.read_text(), re.MULTILINE)
    return {name for line in lines for name in re.findall(r"\b(NS_\w+)=", line)}


async def test_the_tutorial(
    checkout: Path, tmp_path: Path, amqp_url: str, redis_server: str, topology_prefix: str
) -> None:
    committed(checkout)
    port, desk = free_ports(), tmp_path / "desk"
    desk.mkdir()
    clone = desk / "notification-sender"
    instead = {
        "ADDRESS": str(checkout),
        ". .venv/bin/activate": f". {sys.prefix}/bin/activate",
        "notification_sender.sandbox >": f"notification_sender.sandbox --port {port} >",
        "sleep 5 &&": "until grep -q Ctrl-C sandbox.env; do sleep 0.1; done &&",
        f"127.0.0.1:{SANDBOX_PORT + 3}": f"127.0.0.1:{port + PORTS - 1}",
    }
    services = {"NS_AMQP_URL": amqp_url, "NS_REDIS_URL": redis_server, "NS_TOPOLOGY_PREFIX": topology_prefix}
    environment = variables(clone, tmp_path) | services | {"NS_HTTP_HOST": "127.0.0.1", "NS_HTTP_PORT": "0"}
    template = re.findall(r"^`([\w./]+)`\n\n```jinja\n(.*?)^```$", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL)

    def write() -> None:
        for name, text in template:
            (clone / name).write_text(text)

    installed = links()
    async with Terminal(desk, environment) as terminal:
        page = Reader(terminal, TUTORIAL, instead, {})
        await page.types_page({"notification-sender render --context context.json --templates templates.mine": write})
        report = json.loads((await terminal.types(f"curl --silent http://127.0.0.1:{port + PORTS - 1}/report")).text)
    assert report["duplicates"] == 0
    assert links() == installed


def links() -> dict[str, str]:
    """Which folders the packages under test are in: a page must not put its copy there."""
    return {it.name: it.read_text() for it in Path(sysconfig.get_path("purelib")).glob("*.pth")}


@pytest.fixture
def units(sandbox: Sandbox) -> str:
    """Work units of one organization, in the batch that pages name."""
    [first, *_] = made = sandbox.world.work_units(20)
    own = [it for it in made if it["organization_id"] == first["organization_id"]]
    return "".join(f"{json.dumps(it | {'batch': {'id': BATCH, 'size': len(own)}})}\n" for it in own)


async def typed(
    page: Path,
    checkout: Path,
    folder: Path,
    environment: Mapping[str, str],
    first: Sequence[str] = (),
    *,
    instead: Mapping[str, str] | None = None,
    before: Mapping[str, Callable[[], object]] | None = None,
    shown: bool = True,
) -> None:
    """A page in ``folder``. What it exports is not there before."""
    exported = exports(page)
    known = {name: value for name, value in environment.items() if name in exported}
    given = {name: value for name, value in environment.items() if name not in exported}
    async with Terminal(folder, variables(checkout, folder) | given) as terminal:
        reader = Reader(terminal, page, instead or {}, known)
        for words in first:
            assert (await reader.types(words)).code == 0
        await reader.types_page(before, shown=shown)


@pytest.fixture
def desk(tmp_path: Path, units: str) -> Path:
    folder = tmp_path / "desk"
    folder.mkdir()
    (folder / "unit.json").write_text(units)
    return folder


async def test_the_readme(checkout: Path, desk: Path, environment: dict[str, str]) -> None:
    secret = desk / "aaa"
    secret.write_text(environment.pop("NS_AAA_CLIENT_SECRET"))
    # What the audit shows there is of another day.
    await typed(README, checkout, desk, environment | {"NS_AAA_CLIENT_SECRET_FILE": str(secret)}, shown=False)


async def test_how_to_write_a_template(checkout: Path, desk: Path, environment: dict[str, str]) -> None:
    def shorten() -> None:
        context = json.loads((desk / "context.json").read_text())
        del context["timestamp"]
        (desk / "short.json").write_text(json.dumps(context))

    before = {"notification-sender render --context short.json": shorten}
    await typed(HOW_TO / "write-a-template.md", checkout, desk, environment, before=before)


async def test_how_to_replay_dead_letters(
    checkout: Path, desk: Path, environment: dict[str, str], sandbox: Sandbox
) -> None:
    units = [json.loads(it) | {"channels": ["webhook"]} for it in (desk / "unit.json").read_text().splitlines()]
    (desk / "unit.json").write_text("".join(f"{json.dumps(it)}\n" for it in units))
    organization = units[0]["organization_id"]
    for destination in sandbox.world.destinations.values():
        sandbox.inbox.behaviours[destination["destination_id"]].script += [429, 429] * len(units)
    first = (
        "notification-sender run",
        "notification-sender publish unit.json",
        f"until notification-sender audit --batch {BATCH} | grep 'waiting 0, dead [1-9]'; do sleep 0.1; done",
    )
    hasty = environment | {"NS_RETRY_SCHEDULE": "1s"}
    instead = {"org-alpnet": organization}
    await typed(HOW_TO / "replay-dead-letters.md", checkout, desk, hasty, first, instead=instead)
    assert sandbox.inbox.duplicates == 0


async def test_how_to_tune_concurrency(checkout: Path, desk: Path, environment: dict[str, str]) -> None:
    await typed(HOW_TO / "tune-concurrency.md", checkout, desk, environment)


async def test_how_to_rotate_a_secret(
    checkout: Path, desk: Path, environment: dict[str, str], sandbox: Sandbox
) -> None:
    organization, [secret, *_] = next((it, sorted(names)) for it, names in sandbox.world.secrets.items() if names)
    file = Path(environment["NS_SECRETS_DIR"]) / organization / secret
    old = file.read_text()
    instead = {"org-alpnet": organization, "noc-hook": secret}
    await typed(HOW_TO / "rotate-a-secret.md", checkout, desk, environment, instead=instead)
    assert file.read_text() != old
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/=]+\n", file.read_text())
