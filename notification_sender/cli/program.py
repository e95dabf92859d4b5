"""All commands. They import heavy modules inside their functions, so that ``--help`` is fast."""

from importlib.metadata import version
from typing import Annotated

import typer

from notification_sender.cli import NAME
from notification_sender.cli.audit import audit
from notification_sender.cli.cache import cache
from notification_sender.cli.canary import canary
from notification_sender.cli.check import check
from notification_sender.cli.circuits import circuits
from notification_sender.cli.dead import dead
from notification_sender.cli.dead_moves import drop, replay
from notification_sender.cli.demo import demo
from notification_sender.cli.destinations import destinations
from notification_sender.cli.erase import erase
from notification_sender.cli.eta import eta
from notification_sender.cli.explain import explain
from notification_sender.cli.explain_plan import explain_plan
from notification_sender.cli.orgs import orgs
from notification_sender.cli.pause import pause, resume
from notification_sender.cli.pods import pods
from notification_sender.cli.publish import publish
from notification_sender.cli.render import render
from notification_sender.cli.replay_context import replay_context
from notification_sender.cli.retry import retry
from notification_sender.cli.run import run
from notification_sender.cli.settings import settings
from notification_sender.cli.slo import slo
from notification_sender.cli.snapshot import snapshot
from notification_sender.cli.status import status
from notification_sender.cli.suppressions import suppressions
from notification_sender.cli.throttle import throttle
from notification_sender.cli.top import top
from notification_sender.cli.topology import topology
from notification_sender.cli.why import why

# Without typer's tracebacks: they print local variables, and some of these hold secrets.
program = typer.Typer(
    name=NAME,
    help="Takes work units from RabbitMQ, and delivers webhooks and emails, each once.",
    epilog="Exit codes: 0 done, 1 a problem was found, 2 wrong usage, 78 wrong configuration.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    run,
    demo,
    check,
    settings,
    topology,
    publish,
    render,
    explain_plan,
    explain,
    audit,
    status,
    why,
    eta,
    top,
    pods,
    retry,
    pause,
    resume,
    orgs,
    erase,
    canary,
    slo,
    snapshot,
    replay_context,
):
    program.command()(command)
for command in (replay, drop):
    dead.command()(command)
program.add_typer(circuits, name="circuits")
program.add_typer(dead, name="dead")
program.add_typer(cache, name="cache")
program.add_typer(destinations, name="destinations")
program.add_typer(suppressions, name="suppressions")
program.add_typer(throttle, name="throttle")


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - the signature is typer's
    if wanted:
        print(version(NAME))
        raise typer.Exit


@program.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None: ...
