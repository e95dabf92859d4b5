"""Demonstrates the worker on one machine, in memory."""

from typing import Annotated

import typer

from notification_sender.model.errors import ConfigurationFault


def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the inbox page up until Ctrl-C.")] = False,
) -> None:
    """Run the worker in memory, without services.

    A simulated platform, 400 work units, and an inbox that counts and verifies what arrives.
    """
    try:
        from notification_sender.sandbox import demo as sandbox  # noqa: PLC0415 - not paid by --help
    except ImportError as fault:
        raise ConfigurationFault(f"the demo needs the package notification-sender[demo]: {fault}") from None

    raise typer.Exit(sandbox.main(keep=keep))
