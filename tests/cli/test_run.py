"""How a worker ends."""

import subprocess
import sys

HANGING = """
import asyncio, os, signal, time
from notification_sender.app import serving
from types import SimpleNamespace

class App:
    def __init__(self, settings): pass
    async def stop(self): print("stopped", flush=True)
    async def start(self):
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)
        os.kill(os.getpid(), signal.SIGTERM)

serving.App = App
raise SystemExit(serving.run(SimpleNamespace(log_format="json", log_level="info")))
"""


def test_a_look_up_that_hangs_does_not_keep_a_worker_that_is_done() -> None:
    command = [sys.executable, "-c", HANGING]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - ours
    assert (ended.returncode, ended.stdout) == (0, "stopped\n"), ended.stderr
