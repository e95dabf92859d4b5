"""``python -m bench --budget``: what one webhook takes, step by step, as a table for the docs.

CPU time is a share of the sampler's looks (``bench.sampling``) times the CPU time of the same run; function calls are
counted in another (``bench.counting``). Steps cannot be switched off one at a time: each needs what the one before it
made. Allocations have no column: Python counts blocks that are in use and not those that were allocated, and an
allocator that counts would have to be compiled.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.counting import Counts, count
from bench.figures import Figures, figures
from bench.processes import FailedError
from bench.race import Runner, receiving, run
from bench.stage import UNITS, Stage
from bench.steps import (
    ACK,
    ADMIT,
    BESIDE,
    BETWEEN,
    BY_MESSAGE,
    BY_TIME,
    CLAIM,
    FACTS,
    GATHER,
    OTHER,
    READ,
    RENDER,
    REPORT,
    SEND,
    SETTLE,
    STORE,
    TAKE,
)

WHAT = {
    TAKE: "frames of the delivery read, a slot taken, its task begun",
    READ: "the unit parsed and validated",
    CLAIM: "the claim of the unit, and its lease",
    GATHER: "facts, whom it is for, the destination",
    RENDER: "the template, JSON, the limits of both",
    ADMIT: "the shares of its organization and destination, its limits, its host; the ledger's yes",
    SEND: "address, signature, the POST and its answer",
    SETTLE: "the end of the notification and of its unit",
    REPORT: "the log line, the metrics, the event and its frames",
    ACK: "the ack, and the writer of the connection",
    BETWEEN: "what calls these in order",
    STORE: "replies read and handed to who asked",
    OTHER: "the event loop, and what it calls without a step of its own",
    FACTS: "beside it: facts looked up again, every 5 s",
    BESIDE: "beside it: the clock, the watch over the loop",
}
SCRIPTS_OF = {CLAIM: ("claim",), ADMIT: ("admit", "begin"), SETTLE: ("settle",)}
SENT_OF = {ACK: ("basic.ack",), REPORT: ("basic.publish",)}
RECEIVED_OF = {TAKE: ("basic.deliver",)}
NUMBERS = ("CPU µs", "function calls", "scripts of Redis", "frames sent", "frames received")
HEAD = f"| step | {' | '.join(NUMBERS)} |\n|---|{'---|' * len(NUMBERS)}"


async def counted(stage: Stage) -> Counts:
    """What a message takes of the full job with its defaults."""
    async with receiving(stage, 0.0) as receiver:

        async def work(number: int) -> None:
            await stage.publisher.publish(UNITS, stage.load.units(number, receiver.url))

        return await count(stage.environment, stage.folder, [stage.cores.worker], work)


async def sampled(stage: Stage, messages: int, in_flight: int) -> tuple[Figures, dict[str, float]]:
    """A run under the sampler: what it cost, and the share of each step.

    Raises:
        FailedError: a message was lost.

    """
    looks = stage.folder / "looks"
    command = [sys.executable, "-m", "bench.sampling", str(looks), "run"]
    done = await run(stage, Runner("sampled", UNITS, lambda _: command), messages, 0.0)
    if done.lost:
        raise FailedError(f"sampled: {done.lost} of {len(done.expected)} lost; the end of its log:\n{done.log_tail}")
    return figures(done, in_flight), json.loads(_steps(looks))


def _steps(looks: Path) -> str:
    return looks.with_suffix(".steps").read_text()


def table(cpu: float, shares: Mapping[str, float], counts: Counts) -> str:
    """Markdown. ``cpu``: µs a message."""
    rows = [_row(step, cpu * shares.get(step, 0.0), counts) for step in (*BY_MESSAGE, *BY_TIME)]
    own = rows[: len(BY_MESSAGE)]
    sums = [sum(row[place] for row in own) for place in range(len(NUMBERS))]
    names = [f"{step}: {WHAT[step]}" for step in BY_MESSAGE]
    lines = [HEAD, _line("**a message**", sums), *map(_line, names, own)]
    return "\n".join([*lines, *map(_line, (f"*{WHAT[step]}*" for step in BY_TIME), rows[len(own) :])])


def _row(step: str, cpu: float, counts: Counts) -> list[float]:
    scripts, sent, received = SCRIPTS_OF.get(step, ()), SENT_OF.get(step, ()), RECEIVED_OF.get(step, ())
    return [
        cpu,
        counts.steps.get(step, 0.0),
        sum(counts.scripts.get(name, 0.0) for name in scripts),
        sum(counts.sent.get(name, 0.0) for name in sent),
        sum(counts.received.get(name, 0.0) for name in received),
    ]


def _line(name: str, numbers: Sequence[float]) -> str:
    return f"| {name} | {' | '.join(f'{it:,.0f}' if round(it) else '' for it in numbers)} |"
