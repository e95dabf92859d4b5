"""Writes ``docs/reference/diagnosis-trial.md`` from a run."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.diagnose import matrix
from bench.diagnose.faults.fault import Fault
from bench.diagnose.trial import Lengths, Score, Stretch

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "diagnosis-trial.md"

HEAD = """\
# The blind trial of `why`

Does `why` name what is wrong? `make diagnose` answers that, and writes this page. It causes one fault after the other
on real RabbitMQ, Redis and worker processes under a steady load, with healthy stretches among them. The order is
random. The judge reads `notification-sender why --json`, {seconds:g} s after each stretch began, and nothing else.

```console
$ make diagnose                  # 75 minutes, on a machine with nothing else to do
$ make diagnose SEED={seed:<11} # the order of this page
$ make diagnose ONLY="aaa,redis" # faults with one of these in their names
```

## The rules

They were written before the first whole run.

* A fault is named rightly if `limit` is the one in the table below, and `subject` contains the name in the table.
* Where the table says whether more pods help, `more_pods_help` must say the same.
* In a healthy stretch `idle` is right. Any other limit, and no answer, is a false alarm.
* Where `fresh` is false, `advice` must be empty, and `more_pods_help` must not be true.
* A trial holds with 23 of 24 faults named rightly, no false alarm and no advice although stale.
* Where others take the processors, to blame them is right. A stretch in which a worker waited for a processor for
  longer than it had one, and for a quarter of the time, is not counted, whatever was said of it. It is repeated, up to
  {repeats} times.
* After each stretch the queues must be as before within {recovers:g} s. If they are not, the trial empties them and
  starts the workers again.
"""


def page(stretches: Sequence[Stretch], faults: Sequence[Fault], score: Score, seed: int, lengths: Lengths) -> str:
    """Markdown. ``faults``: all there are, whether they were run or not."""
    counted = [it for it in stretches if it.counts]
    parts = [
        HEAD.format(seed=seed, **asdict(lengths)),
        "## Result\n",
        *(_result(stretches, score, seed, lengths.seconds) if stretches else ["There was no whole run yet.\n"]),
        "## Each fault\n",
        "| fault | what is done | right is | said | sentence |",
        "|---|---|---|---|---|",
        *(_row(it, [run for run in counted if run.fault is it]) for it in faults),
    ]
    return "\n".join(parts) + "\n"


def _result(stretches: Sequence[Stretch], score: Score, seed: int, seconds: float) -> list[str]:
    pairs = [(it.caused, it.judgement.said) for it in stretches if it.counts]
    return [
        f"Seed {seed}, {len(stretches)} stretches of {seconds:g} s:\n",
        *(f"* {it}" for it in score.lines),
        "\nA row is what was caused, a column what was said:\n",
        f"{matrix.markdown(matrix.table(pairs))}\n",
    ]


def _row(fault: Fault, runs: Sequence[Stretch]) -> str:
    said = "; ".join(_said(it) for it in runs) or "not run"
    said_of_it = "; ".join(it.verdict.sentence for it in runs if it.verdict)
    sentence = in_production(said_of_it).replace("|", "\\|")
    return f"| {fault.name} | {fault.what} | {fault.expected.text} | {said} | {sentence} |"


def _said(stretch: Stretch) -> str:
    wrong = "" if stretch.judgement.right else f", wrong: {'; '.join(stretch.judgement.faults)}"
    return f"`{stretch.judgement.said}`{wrong}"


def in_production(text: str) -> str:
    """The folder of secrets where a reader has it: that of a run is temporary, and of one machine."""
    return re.sub(r"/\S+/secrets/", "/run/secrets/", text)
