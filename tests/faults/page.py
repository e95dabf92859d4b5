"""``docs/reference/faults.md``: what was broken, what was asserted, what was counted."""

import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from tests.services.program import find
from tests.services.rabbitmq import FOLDERS

Facts = dict[str, Any]

HEAD = """\
# Faults

`make faults` breaks one thing after the other under load, with real worker processes, a private RabbitMQ and Redis, and
asserts the account of everything that was published each time. This page is what it wrote: nothing stands here that was
not run.

```console
$ make faults                       # every row
$ make faults FAULTS=18,22-25       # these
$ make faults SEED=7 NIGHT=1        # the same dice again; faults last as long as it takes to know, not 20 s at most
```

*Accounted*: what the publisher got confirmed and was accepted by its receiver or is a dead letter, of all that was
confirmed; then nothing is left in any queue, and the ledger knows an end for each. *Duplicates*: acceptances beyond the
first, and how many the [promise](delivery.md) allows there: a worker that dies between the acceptance and its record,
a store that forgets. *Recovery*: from the end of the fault to the first acceptance after it. *Amplification*: sends for
each acceptance that was owed. *p99*: from the publisher's confirm to the acceptance, the fault included. *RSS*: of the
largest worker, at its peak. *Found*: the row's own figure. Where all of these are empty the row counts something else,
which its test asserts.

"""
TITLES = (
    "row",
    "fault",
    "asserted",
    "found",
    "accounted",
    "duplicates",
    "recovery s",
    "amplification",
    "p99 ms",
    "RSS MiB",
    "seconds",
    "result",
)


def circumstances(seed: int, *, night: bool, date: str) -> Facts:
    """What a run stands on."""
    redis = _said(find("redis-server"), "--version").split("v=")[1].split()[0]
    versions = (
        f"Python {platform.python_version()}, RabbitMQ {_said(find('rabbitmqctl', *FOLDERS), 'version')}, Redis {redis}"
    )
    commit = _said("git", "describe", "--always", "--dirty")
    return {"date": date, "seed": seed, "night": night, "commit": commit, "versions": versions}


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 - ours


def tests(record: Path) -> dict[str, Facts]:
    """What became of each test of a run, by its name; what failed at its end has failed."""
    found: dict[str, Facts] = {}
    for line in map(orjson.loads, record.read_bytes().splitlines()):
        known = found.setdefault(line.pop("test"), {})
        known |= line | ({"result": "failed"} if known.get("result") == "failed" else {})
    return {name: facts for name, facts in found.items() if "rows" in facts}


def page(run: Facts, before: str = "") -> str:
    """Of this run. A page ``before`` it gives the rows that were not run again, and the runs that they are from."""
    told, rows = _read(before)
    told.append(_told(run))
    for name, facts in run["tests"].items():
        for number, fault in facts["rows"]:
            cells = _cells(number, fault, name, facts, night=run["night"])
            rows[tuple(cells[:3])] = cells
    ordered = sorted(rows.values(), key=lambda cells: (int(cells[0]), cells))
    lines = map(_line, (TITLES, ["---"] * len(TITLES), *ordered))
    return HEAD + "\n".join((*told, "", *lines)) + "\n"


def _read(page: str) -> tuple[list[str], dict[tuple[str, ...], list[str]]]:
    """The runs of a page, and the cells of its rows by number, fault and what was asserted."""
    lines = page.removeprefix(HEAD).splitlines()
    cells = [line.strip("|").split("|") for line in lines if line.startswith("|")][2:]
    rows = [[it.strip() for it in row] for row in cells]
    return [line for line in lines if line.startswith("* ")], {tuple(row[:3]): row for row in rows}


def _told(run: Facts) -> str:
    length = "for as long as it takes to know" if run["night"] else "20 s at most"
    return f"* {run['date']}, commit {run['commit']}, seed {run['seed']}, a fault lasts {length}; {run['versions']}."


def _cells(number: int, fault: str, name: str, facts: Facts, *, night: bool) -> list[str]:
    figures = facts.get("figures")
    counted = [""] * 6
    if figures:
        counted = [
            f"{figures['accounted']} of {figures['owed']}",
            f"{figures['duplicates']} (≤ {facts['allowed']})",
            f"{figures['recovery']:.1f}",
            f"{figures['amplification']:.2f}",
            f"{1000 * figures['p99']:.0f}",
            f"{figures['rss']:.0f}",
        ]
    return [
        str(number),
        fault,
        _asserted(name),
        facts.get("figure", ""),
        *counted,
        f"{facts['seconds']:.0f}{' (night)' if night else ''}",
        facts["result"],
    ]


def _asserted(name: str) -> str:
    """A test's name says the behaviour."""
    behaviour, _, variant = name.rpartition("::test_")[2].partition("[")
    said = behaviour.replace("_", " ")
    return f"{said} ({variant.removesuffix(']')})" if variant else said


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
