"""The command line."""

import gc
import os
import sys
from collections.abc import Sequence

from notification_sender.cli.exit_codes import MISCONFIGURED, PROBLEM_FOUND
from notification_sender.cli.worker import run_worker, wanted
from notification_sender.model.errors import ConfigurationFault, NotificationSenderError

NAME = "notification-sender"

GARBAGE = 50_000
"""New objects after which garbage is collected. Python's default collects every few modules that a command imports, and
finds nothing: a tenth of their time."""

WORKER = ["run"]
"""The arguments of a worker that is started as usual."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 a problem was found, 2 wrong usage, 78 wrong configuration."""
    gc.set_threshold(GARBAGE)
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        _run(given)
    except NotificationSenderError as fault:
        print(f"{NAME}: {fault}", file=sys.stderr)
        sys.exit(MISCONFIGURED if isinstance(fault, ConfigurationFault) else PROBLEM_FOUND)


def _run(arguments: list[str]) -> None:
    if arguments == WORKER and wanted(os.environ) == 1:
        sys.exit(run_worker(os.environ))
    from notification_sender.cli.program import program  # noqa: PLC0415 - a worker does not need it

    program(args=arguments, prog_name=NAME)
