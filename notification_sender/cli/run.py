"""The worker itself, and its demonstration."""

import os

import typer

from notification_sender.model.errors import ConfigurationFault


def run() -> None:
    """Work until SIGTERM or SIGINT."""
    from notification_sender import app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    raise typer.Exit(app.run(Settings.load(os.environ)))


def demo() -> None:
    """Show the whole job in memory; needs no services.

    A simulated platform, 400 work units, an inbox that counts and verifies what arrives.
    """
    try:
        from notification_sender.sandbox import demo as sandbox  # noqa: PLC0415 - not paid by --help
    except ImportError as fault:
        raise ConfigurationFault(
            f"the demo needs more than a worker does: notification-sender[demo] ({fault})"
        ) from None

    raise typer.Exit(sandbox.main())
