"""Declares the queues and exchanges before the first worker runs."""

import asyncio
import os


def topology() -> None:
    """Declare the queues and exchanges, and list them. Existing ones stay as they are."""
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    print("\n".join(asyncio.run(app.declare(Settings.load(os.environ)))))
