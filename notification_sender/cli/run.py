"""The worker."""

import os

import typer


def run() -> None:
    """Run the worker until SIGTERM or SIGINT."""
    from notification_sender import app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    raise typer.Exit(app.run(Settings.load(os.environ)))
