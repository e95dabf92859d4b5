"""What a worker imports, and what it does before its first delivery."""

import ssl
import subprocess
import sys
import threading
from pathlib import Path

import aiohttp
import pytest

from notification_sender import plugins
from notification_sender.adapters.http import connector
from notification_sender.app.worker_process import App
from notification_sender.cli.worker import _left_out
from notification_sender.policy.trust import CHECKS
from notification_sender.render import Renderer
from notification_sender.settings import Settings
from notification_sender.worker.worker import Worker
from tests.cli.conftest import ENVIRONMENT
from tests.patience import patient

# An empty folder of templates ends the worker while it connects, when everything is imported.
WORKER = """
import atexit, sys
atexit.register(lambda: print(*sys.modules))
from notification_sender.cli import main
main(["run"])
"""

OF_OTHER_COMMANDS = (
    "notification_sender.adapters.memory",
    "notification_sender.adapters.rabbitmq.dead_letters",
    "notification_sender.adapters.rabbitmq.inspection",
    "notification_sender.app.admin",
    "notification_sender.app.check",
    "notification_sender.app.commands",
    "notification_sender.app.dead_letters",
    "notification_sender.app.preview",
    "notification_sender.app.reach",
    "notification_sender.cli.conventions",
    "notification_sender.cli.program",
    "notification_sender.context.explain",
    "notification_sender.sandbox",
)
UNUSED_LIBRARIES = (
    "aiohttp.web",
    "aiosmtpd",
    "click",
    "dotenv",
    "fakeredis",
    "httpcore",
    "httpx._main",
    "lupa",
    "pydantic_settings",
    "pygments",
    "rich",
    "typer",
)
WITHOUT_A_MAIL_SERVER = ("aiosmtplib", "notification_sender.adapters.smtp")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    environment = ENVIRONMENT | {"NS_TEMPLATES_DIR": str(tmp_path_factory.mktemp("templates"))}
    command = [sys.executable, "-c", WORKER]
    ended = subprocess.run(  # noqa: S603 - ours
        command, capture_output=True, text=True, env=environment, timeout=patient(60), check=False
    )
    assert (ended.returncode, "no templates" in ended.stderr) == (78, True), ended.stderr
    return set(ended.stdout.split())


@pytest.mark.parametrize("name", [*OF_OTHER_COMMANDS, *UNUSED_LIBRARIES, *WITHOUT_A_MAIL_SERVER])
def test_a_worker_does_not_import_what_it_does_not_use(imported: set[str], name: str) -> None:
    assert not {it for it in imported if f"{it}.".startswith(f"{name}.")}


def test_a_worker_imports_the_files_of_the_worker(imported: set[str]) -> None:
    assert imported >= {"notification_sender.worker.worker", "notification_sender.adapters.rabbitmq.broker", "aiohttp"}


def test_what_was_left_out_can_be_imported_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "of_a_recipe.py").write_text("there = True")
    monkeypatch.syspath_prepend(tmp_path)
    with _left_out(("of_a_recipe", "sys")), pytest.raises(ModuleNotFoundError):
        import of_a_recipe  # noqa: PLC0415 - what is tested
    import of_a_recipe  # noqa: PLC0415 - as above

    assert of_a_recipe.there
    assert sys.modules["sys"] is sys


EMBEDDED = {
    "NS_ENVIRONMENT": "development",
    "NS_AMQP_URL": "memory://",
    "NS_REDIS_URL": "memory://",
    "NS_HTTP_PORT": "0",
    "NS_HTTP_HOST": "127.0.0.1",
}


@pytest.fixture
def on_thread(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done at a start, in order: ``takes``, and where the rest is computed."""
    seen: list[str] = []
    start, compiled = Worker.start, Renderer.compile

    def place(what: str) -> None:
        where = "on the loop" if threading.current_thread() is threading.main_thread() else "in a thread"
        seen.append(f"{what} {where}")

    def read(*_: object) -> object:
        place("authorities")
        return create_default_context()

    def compile_(renderer: Renderer) -> None:
        place("templates")
        compiled(renderer)

    async def taking(worker: Worker) -> None:
        seen.append("takes")
        await start(worker)

    connector.public.cache_clear()
    create_default_context = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", read)
    monkeypatch.setattr(Renderer, "compile", compile_)
    monkeypatch.setattr(Worker, "start", taking)
    return seen


async def _start() -> None:
    app = App(Settings.load(ENVIRONMENT | EMBEDDED))
    await app.start()
    await app.stop()


async def test_templates_are_compiled_before_the_first_delivery_and_not_on_the_loop(on_thread: list[str]) -> None:
    """It takes a tenth of a second, in which the worker connects."""
    await _start()
    assert on_thread == ["templates in a thread", "takes"]


async def test_the_authorities_of_the_system_are_those_that_aiohttp_read(on_thread: list[str]) -> None:
    await _start()
    read = connector.public()
    assert read is aiohttp.connector._SSL_CONTEXT_VERIFIED
    assert read.verify_flags == CHECKS
    assert read.verify_mode is ssl.CERT_REQUIRED
    assert "authorities on the loop" not in on_thread


async def test_without_them_they_are_read_before_the_first_delivery_and_not_on_the_loop(
    on_thread: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes tenths of a second: with the first request, deliveries would wait for it."""
    monkeypatch.delattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED")
    await _start()
    connector.public()
    assert sorted(on_thread[:-1]) == ["authorities in a thread", "templates in a thread"]
    assert on_thread[-1] == "takes"


def test_installed_packages_are_searched_once_for_each_kind_of_entry_point() -> None:
    assert plugins.entry_points(group="nobody") is plugins.entry_points(group="nobody")
