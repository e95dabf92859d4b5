"""The demo: the whole job on the embedded default, judged by the simulated platform and the inbox."""

import asyncio
import tempfile
import time
from pathlib import Path

import orjson

from notification_sender.app import App
from notification_sender.sandbox.inbox import Inbox
from notification_sender.sandbox.report import report, summary
from notification_sender.sandbox.samples import write_samples
from notification_sender.sandbox.sandbox import Sandbox
from notification_sender.settings import Settings
from notification_sender.telemetry import log

UNITS = 400
NOTIFICATIONS = 2 * UNITS
"""Every organization of the world has a webhook and an email."""
BATCH = "demo"
DEADLINE = 120
"""Seconds after which the demo says what is missing."""
LEDGER_DEADLINE = 10
"""Seconds that the ledger may be behind the recipients: an outcome is recorded after it was answered."""

EMBEDDED = {
    "NS_AMQP_URL": "memory://",
    "NS_REDIS_URL": "memory://",
    "NS_THROTTLE_WEBHOOK": "off",
    "NS_THROTTLE_EMAIL": "off",
    "NS_HTTP_HOST": "127.0.0.1",
    "NS_HTTP_PORT": "0",
}
WELCOME = f"""\
notification-sender demo: {UNITS} work units, each with a webhook and an email.
Everything is in memory, in one process, and NOT durable: nothing survives the end of this demo.
The platform, the recipients and the mail server are simulated on 127.0.0.1; nothing leaves this machine.
"""


def main() -> int:
    """Run the demo. Exit code: 0 if every notification arrived once and verified, 1 if not."""
    log.to_people()
    return asyncio.run(_demo(Path(tempfile.mkdtemp(prefix="notification-sender-demo-"))))


async def _demo(directory: Path) -> int:
    print(WELCOME, flush=True)
    async with Sandbox(directory) as sandbox:
        app = App(Settings.load(sandbox.environment | EMBEDDED))
        await app.start()
        try:
            started = time.monotonic()
            await app.publish([orjson.dumps(it) for it in sandbox.world.work_units(UNITS, batch_id=BATCH)])
            await _progress(sandbox.inbox)
            seconds = time.monotonic() - started
            line, balanced = await _audit(app)
        finally:
            await app.stop()
        seen = report(sandbox.platform, sandbox.inbox, units=UNITS, expected=NOTIFICATIONS, seconds=seconds)
        samples = write_samples(sandbox.inbox, directory / "samples")
    print(f"\n{summary(seen)}\n\nTo look at:")
    print("\n".join(f"  {file}" for file in samples))
    print(f"\n{line}")
    return 0 if balanced and seen.faultless else 1


async def _progress(inbox: Inbox) -> None:
    """Say each second how far it is, until everything was accepted or the deadline is over."""
    for _ in range(DEADLINE):
        try:
            async with asyncio.timeout(1):
                await inbox.accepts(NOTIFICATIONS)
        except TimeoutError:
            print(f"  {len(inbox.accepted)} of {NOTIFICATIONS} accepted", flush=True)
        else:
            return


async def _audit(app: App) -> tuple[str, bool]:
    """The line of the audit, and whether it says that every unit was delivered."""
    wanted = f"accounted for: {UNITS} of {UNITS} (delivered {UNITS}"
    deadline = time.monotonic() + LEDGER_DEADLINE
    while True:
        line = str(await app.audit(BATCH))
        if line.startswith(wanted) or time.monotonic() > deadline:
            return line, line.startswith(wanted)
        await asyncio.sleep(0.1)
