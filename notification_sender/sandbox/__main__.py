"""``python -m notification_sender.sandbox`` runs the platform and the inbox, or prints sample units and contexts."""

import argparse
import asyncio
import contextlib
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from notification_sender.model.errors import ConfigurationFault, NotificationSenderError
from notification_sender.model.unit import decode
from notification_sender.sandbox.platform.world import World
from notification_sender.telemetry import log

HOST, PORT = "127.0.0.1", 9100
PROBLEM, MISCONFIGURED = 1, 78


def main() -> int:
    """Serve until interrupted. With ``--units`` or ``--context``, print data of the same world and exit."""
    try:
        _do(_options())
    except ImportError as fault:
        needed = "the sandbox needs more than a worker does: pip install 'notification-sender[demo]'"
        print(f"{needed} ({fault})", file=sys.stderr)
        return MISCONFIGURED
    except NotificationSenderError as fault:
        print(fault, file=sys.stderr)
        return MISCONFIGURED if isinstance(fault, ConfigurationFault) else PROBLEM
    return 0


def _do(options: argparse.Namespace) -> None:
    sizes = {name: getattr(options, name) for name in ("seed", "organizations", "incidents", "assets")}
    if options.units:
        lines = (orjson.dumps(unit) + b"\n" for unit in World(**sizes).work_units(options.units))
        _write(b"".join(lines), options.out)
    elif options.context:
        _write(asyncio.run(_context(options.context.read_bytes(), sizes)), options.out)
    else:
        asyncio.run(_serve(options, sizes))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m notification_sender.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT, help="the platform; the next three: webhooks, SMTP, control")
    parser.add_argument(
        "--host", default=HOST, help="name or address to listen on, also in the URLs; default: %(default)s"
    )
    parser.add_argument(
        "--directory", type=Path, metavar="PATH", help="for signing keys; default: a temporary directory"
    )
    parser.add_argument("--units", type=int, metavar="N", help="write N work units as JSON lines, serve nothing")
    parser.add_argument("--context", type=Path, metavar="FILE", help="write what is gathered for the unit in FILE")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where these go; default: standard output")
    parser.add_argument("--seed", type=int, default=1, help="which world; the units must be of the one that is served")
    parser.add_argument("--organizations", type=int, default=8)
    parser.add_argument("--incidents", type=int, default=100)
    parser.add_argument("--assets", type=int, default=40, help="of each organization; default: %(default)s")
    return parser.parse_args()


def _write(text: bytes, out: Path | None) -> None:
    if out is None:
        sys.stdout.buffer.write(text)
    else:
        out.write_bytes(text)


async def _context(body: bytes, sizes: dict[str, Any]) -> bytes:
    from notification_sender.sandbox.platform.context import context  # noqa: PLC0415 - what needs the extra is asked for last

    log.to_people()
    facts = await context(World(**sizes), decode(body.strip()))
    return orjson.dumps(facts, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


async def _serve(options: argparse.Namespace, sizes: dict[str, int]) -> None:
    from notification_sender.sandbox.control import Control  # noqa: PLC0415 - as above
    from notification_sender.sandbox.sandbox import Sandbox  # noqa: PLC0415 - as above
    from notification_sender.sandbox.serving import interruption  # noqa: PLC0415 - as above

    stop, port = interruption(), options.port  # first: a reader of the last line may interrupt at once
    with _directory(options.directory) as directory:
        async with Sandbox(directory, port=port, host=options.host, **sizes) as sandbox:
            control = Control(sandbox, port and port + 3)
            async with control.server.serving():
                for name, value in sandbox.environment.items():
                    print(f"export {name}={shlex.quote(value)}")
                print(f"# whose destinations to check: {' '.join(sandbox.world.organizations)}")
                print(f"# the inbox page: {control.server.url}/")
                print(f"# what it saw: {control.server.url}/report   until Ctrl-C", flush=True)
                await stop.wait()


@contextlib.contextmanager
def _directory(given: Path | None) -> Iterator[Path]:
    """The given directory stays. A temporary one is deleted with the sandbox."""
    if given is not None:
        yield given
    else:
        with tempfile.TemporaryDirectory(prefix="notification-sender-sandbox-") as made:
            yield Path(made)


if __name__ == "__main__":
    sys.exit(main())
