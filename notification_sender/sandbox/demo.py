"""The demo: the whole job on the embedded default. The simulated platform and the inbox check the result."""

import asyncio
import tempfile
import time
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path

import orjson

from notification_sender.app.run import loops, settle_garbage
from notification_sender.app.worker_process import App
from notification_sender.sandbox.control import Control
from notification_sender.sandbox.inbox.samples import write_samples
from notification_sender.sandbox.progress import display, follow
from notification_sender.sandbox.report import Report, report, summary
from notification_sender.sandbox.sandbox import Sandbox
from notification_sender.sandbox.serving import interrupted
from notification_sender.settings import Settings
from notification_sender.telemetry import log

UNITS = 400
NOTIFICATIONS = 2 * UNITS
"""The expected notifications: every organization of the world has a webhook and an email."""
BATCH = "demo"
DEADLINE = 120
"""Seconds after which the demo gives up and names what is missing."""
LEDGER_DEADLINE = 10
"""Seconds by which the ledger may lag behind the recipients: an outcome is recorded after the answer."""

CONCURRENCY = 64
"""Everything computes in one process: more deliveries at once would only take longer each. Above 1 s each they count as
slow, and are deferred, which costs work and leaves the demo waiting at its end."""

EMBEDDED = {
    "NS_AMQP_URL": "memory://",
    "NS_REDIS_URL": "memory://",
    "NS_CONCURRENCY": str(CONCURRENCY),
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


def main(*, keep: bool = False) -> int:
    """Run the demo. With ``keep``, serve the inbox page until Ctrl-C.

    Exit code: 0 if every notification arrived once and verified, 1 if not.
    """
    log.to_people()
    directory = Path(tempfile.mkdtemp(prefix="notification-sender-demo-"))
    with asyncio.Runner(loop_factory=loops("uvloop")) as runner:
        return runner.run(_demo(directory, keep=keep))


async def _demo(directory: Path, *, keep: bool) -> int:
    print(WELCOME, flush=True)
    async with Sandbox(directory) as sandbox:
        seen, line, balanced = await _work(sandbox)
        samples = write_samples(sandbox.inbox, directory / "samples")
        print(f"\n{summary(seen)}\n\nTo look at:")
        print("\n".join(f"  {file}" for file in samples))
        print(f"\n{line}", flush=True)
        if keep:
            await _show(sandbox)
    return 0 if balanced and seen.faultless else 1


async def _work(sandbox: Sandbox) -> tuple[Report, str, bool]:
    """Deliver everything. Return the recipients' report, the audit's line, and whether all units were delivered."""
    app = App(Settings.load(sandbox.environment | EMBEDDED))
    await app.start()
    settle_garbage()
    try:
        started = time.monotonic()

        def current_report() -> Report:
            passed = time.monotonic() - started
            return report(sandbox.platform, sandbox.inbox, units=UNITS, expected=NOTIFICATIONS, seconds=passed)

        await app.publish([orjson.dumps(it) for it in sandbox.world.work_units(UNITS, batch_id=BATCH)])
        with display() as shown:
            await follow(shown, sandbox.inbox.accepts(NOTIFICATIONS), current_report, DEADLINE)
        seen = current_report()
        line, balanced = await _audit(app)
    finally:
        await app.stop()
    return replace(current_report(), seconds=seen.seconds), line, balanced


async def _show(sandbox: Sandbox) -> None:
    control = Control(sandbox)
    async with control.server.serving():
        print(f"\nThe inbox page: {control.server.url}/   until Ctrl-C", flush=True)
        await interrupted()


async def _audit(app: App) -> tuple[str, bool]:
    """Return the line of the audit, and whether every unit was delivered."""
    wanted = f"accounted for: {UNITS} of {UNITS} (delivered {UNITS}"
    deadline = time.monotonic() + LEDGER_DEADLINE
    while True:
        audits = (await app.audit(BATCH)).values()
        line = str(reduce(add, audits)) if audits else ""
        if line.startswith(wanted) or time.monotonic() > deadline:
            return line, line.startswith(wanted)
        await asyncio.sleep(0.1)
