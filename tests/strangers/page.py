"""``docs/reference/strangers.md``: what strangers sent and answered, and how it ended."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

Facts = dict[str, Any]
SEED = ("seed", "odd", "ratio", "median ms", "slowest ms", "stalls", "reconnects", "faults")
ENDS = ("delivered", "suppressed", "dead", "put off", "refused", "unaccounted")

HEAD = """\
# Strangers

What happens when publishers, APIs, receivers, mail servers and name servers do what nobody expects? `make strangers`
sends odd cases among as many good units through two real workers, and asserts what became of each. This page is what
it wrote: nothing stands here that was not run.

```console
$ make strangers                    # seed 1, 400 odd cases among 400 good units
$ make strangers SEEDS=20 FROM=1    # a night of it
$ python -m tests.strangers --seed 7 --only 123               # one case of a seed again
$ python -m tests.strangers --without smtp,record.depth       # without a family, without a kind
```

Each run asserts:

* Every good unit is delivered, none twice. All of them, and the slowest, take at most 1.5 times what the same units
  take without the odd ones, and 3 s.
* Every odd case is delivered, suppressed, dead with a reason, put off and still in a queue, or refused by RabbitMQ.
* A worker's loop never stalls for more than 500 ms, unless the machine held it. No worker ends.
* No worker reconnects to RabbitMQ or Redis.

*Ratio*: seconds for the good units among odd ones, divided by the seconds without. *Median* and *slowest*: from the
publisher's confirm of a good unit to its acceptance, without odd ones and among them.

"""


def page(run: Facts, reports: Sequence[Facts]) -> str:
    """``run``: what it stands on."""
    kinds: dict[str, Counter[str]] = {}
    for report in reports:
        for kind, ends in report["kinds"].items():
            kinds.setdefault(kind, Counter()).update(ends)
    told = f"* {run['date']}, commit {run['commit']}; {run['versions']}.\n"
    seeds = table(
        ("seed", "odd", "ratio", "median ms", "slowest ms", "stalls", "reconnects", "faults"), map(_seed, reports)
    )
    rows = [(kind, *(kinds[kind][end] or "" for end in ENDS)) for kind in sorted(kinds)]
    return f"{HEAD}{told}\n{seeds}\n{table(('kind', *ENDS), rows)}"


def _seed(report: Facts) -> tuple[object, ...]:
    waits = ("{:.0f}, {:.0f}".format(*(1000 * it for it in report[name])) for name in ("medians", "slowest"))
    ratio = report["among"] / report["alone"] if report["alone"] else 0.0
    odd = sum(sum(ends.values()) for ends in report["kinds"].values())
    counts = [len(report[name]) for name in ("stalls", "reconnects", "faults")]
    return (report["seed"], odd, f"{ratio:.2f}", *waits, *counts)


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines: list[Sequence[object]] = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(map(str, cells))} |\n" for cells in lines)


def read(record: Path) -> list[Mapping[str, Any]]:
    """The reports of a record, a line each."""
    return [orjson.loads(line) for line in record.read_bytes().splitlines()]
