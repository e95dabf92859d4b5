"""``python -m notification_sender.sandbox``: the platform and the inbox as a process, or sample work units."""

import argparse
import asyncio
import shlex
import signal
import sys
import tempfile
from pathlib import Path

import orjson

from notification_sender.sandbox.control import Control
from notification_sender.sandbox.sandbox import Sandbox
from notification_sender.sandbox.world import World

PORT = 9100


def main() -> int:
    """Serve until interrupted; with ``--units`` write work units of the same world and end."""
    options = _options()
    sizes = {"seed": options.seed, "organizations": options.organizations, "incidents": options.incidents}
    if options.units:
        _write_units(World(**sizes), options.units, options.out)
    else:
        asyncio.run(_serve(options.port, sizes))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m notification_sender.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT, help="the platform; the next three: webhooks, SMTP, control")
    parser.add_argument("--units", type=int, metavar="N", help="write N work units as JSON lines, serve nothing")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where --units go; default: standard output")
    parser.add_argument("--seed", type=int, default=1, help="which world; the units must be of the one that is served")
    parser.add_argument("--organizations", type=int, default=8)
    parser.add_argument("--incidents", type=int, default=100)
    return parser.parse_args()


def _write_units(world: World, count: int, out: Path | None) -> None:
    lines = b"".join(orjson.dumps(unit) + b"\n" for unit in world.work_units(count))
    if out is None:
        sys.stdout.buffer.write(lines)
    else:
        out.write_bytes(lines)


async def _serve(port: int, sizes: dict[str, int]) -> None:
    with tempfile.TemporaryDirectory(prefix="notification-sender-sandbox-") as directory:
        async with Sandbox(Path(directory), port=port, **sizes) as sandbox:
            control = Control(sandbox, port and port + 3)
            async with control.server.serving():
                for name, value in sandbox.environment.items():
                    print(f"export {name}={shlex.quote(value)}")
                print(f"# what it saw: {control.server.url}/report   until Ctrl-C", flush=True)
                await _interrupted()


async def _interrupted() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
