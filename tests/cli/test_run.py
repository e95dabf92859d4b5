"""How a worker ends."""

import subprocess
import sys

import pytest

from tests.patience import patient

HANGING = """
import asyncio, os, signal, time
from importlib import import_module
from types import SimpleNamespace

class App:
    def __init__(self, settings, parent, number): pass
    async def stop(self): print("stopped", flush=True)
    async def start(self):
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)
        os.kill(os.getpid(), signal.SIGTERM)

run = import_module("notification_sender.app.run")  # the package exports its function by the same name
run.App = App
raise SystemExit(run.run(SimpleNamespace(event_loop="uvloop", log_format="json", log_level="info", concurrency=1)))
"""

REFUSED = """
import asyncio, time
from importlib import import_module
from types import SimpleNamespace
from notification_sender import cli
from notification_sender.model.errors import ConfigurationFault

class App:
    def __init__(self, settings, parent, number): pass
    async def start(self):
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)
        raise ConfigurationFault("no such template")

run = import_module("notification_sender.app.run")  # the package exports its function by the same name
run.App = App
settings = SimpleNamespace(event_loop="uvloop", log_format="json", log_level="info", concurrency=1)
cli._run = lambda _: run.run(settings)
cli.main(["run"])
"""


CRASHING = """
import resource
from importlib import import_module
from types import SimpleNamespace

class App:
    def __init__(self, settings, parent, number):
        print(resource.getrlimit(resource.RLIMIT_CORE), open("/proc/self/coredump_filter").read().strip(), flush=True)
        raise SystemExit(3)

resource.setrlimit(resource.RLIMIT_CORE, (1024, resource.getrlimit(resource.RLIMIT_CORE)[1]))
run = import_module("notification_sender.app.run")  # the package exports its function by the same name
run.App = App
run.run(SimpleNamespace(event_loop="uvloop", log_format="json", log_level="info", concurrency=1))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")
def test_nothing_of_its_memory_is_in_a_core_dump_from_the_start() -> None:
    command = [sys.executable, "-c", CRASHING]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=patient(30), check=False)  # noqa: S603 - ours
    assert (ended.returncode, ended.stdout) == (3, "(0, 0) 00000000\n"), ended.stderr


def test_a_look_up_that_hangs_does_not_keep_a_worker_that_is_done() -> None:
    command = [sys.executable, "-c", HANGING]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=patient(30), check=False)  # noqa: S603 - ours
    assert (ended.returncode, ended.stdout) == (0, "stopped\n"), ended.stderr


def test_a_look_up_that_hangs_does_not_keep_a_worker_that_is_refused_nor_its_message() -> None:
    command = [sys.executable, "-c", REFUSED]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=patient(30), check=False)  # noqa: S603 - ours
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (78, "notification-sender: no such template")
