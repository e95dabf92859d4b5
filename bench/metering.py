"""The CPU time that the reports take of a worker that works.

``python -m bench.metering FILE COMMAND…`` is ``notification-sender COMMAND…``. ``FILE`` gets the CPU seconds of all
reports so far as JSON. The tasks that read answers of Redis and RabbitMQ serve all others as well: they are not
counted.
"""

import json
import sys
import time
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

from notification_sender.app.fleet_reports import FleetReports
from notification_sender.cli import main


class Metered:
    """An awaitable that keeps the CPU time of its own steps."""

    def __init__(self, work: Awaitable[None], done: Callable[[float], None]) -> None:
        self._work = work
        self._done = done

    def __await__(self) -> Generator[Any, Any, None]:
        steps, spent, answer = self._work.__await__(), 0.0, None
        while True:
            began = time.thread_time()
            try:
                question = steps.send(answer)
            except StopIteration:
                self._done(spent + time.thread_time() - began)
                return
            spent += time.thread_time() - began
            answer = yield question


def meter(file: Path) -> None:
    """Keep the CPU time of every report from now on."""
    spent: list[float] = []
    report_once = FleetReports.report_once

    def keep(seconds: float) -> None:
        spent.append(seconds)
        file.write_text(json.dumps(spent))

    async def metered(self: FleetReports) -> None:
        await Metered(report_once(self), keep)

    file.write_text("[]")
    FleetReports.report_once = metered  # type: ignore[method-assign]


if __name__ == "__main__":
    meter(Path(sys.argv[1]))
    sys.argv[1:] = sys.argv[2:]
    main()
