"""What a replay came to, for people: lines, a curve of letters, and a picture."""

from collections.abc import Sequence
from pathlib import Path

from bench.incident.replay import Run

WIDTH, HEIGHT = 72, 12


def table(runs: Sequence[Run]) -> str:
    """One line for each design. Seconds as measured."""
    head = f"{'':<14}{'drained':>10}{'median':>10}{'p99':>10}{'calls':>9}{'a unit':>8}{'asked/fact':>12}{'wasted':>9}"
    lines = [head]
    for run in runs:
        left = run.queue[-1][1]
        drained = f"{run.drained:.0f} s" if run.drained is not None else f"{left} left"
        lines.append(
            f"{run.name:<14}{drained:>10}{run.median:>8.2f} s{run.p99:>8.2f} s{run.calls:>9}"
            f"{run.calls / max(run.units - left, 1):>8.2f}{run.asked / max(run.different, 1):>12.3f}"
            f"{run.asked - run.different:>9}"
        )
    return "\n".join(lines)


def curve(runs: Sequence[Run]) -> str:
    """Notifications owed over time, a letter for each design."""
    end = max(run.queue[-1][0] for run in runs)
    most = max(run.units for run in runs)
    rows = [[" "] * WIDTH for _ in range(HEIGHT)]
    for run in runs:
        for seconds, owed in run.queue:
            column = min(int(seconds / max(end, 0.001) * WIDTH), WIDTH - 1)
            rows[min(int((1 - owed / most) * HEIGHT), HEIGHT - 1)][column] = run.name[0]
    body = "\n".join(f"{most * (HEIGHT - number) // HEIGHT:>6} |{''.join(row)}" for number, row in enumerate(rows))
    return f"{body}\n{'':>6} +{'-' * WIDTH}\n{'':>8}0 s{'':>{WIDTH - 10}}{end:.0f} s"


def picture(runs: Sequence[Run], file: Path) -> None:
    """The same as a PNG."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - a text is drawn without it

    figure = Figure(figsize=(9, 4.5), layout="tight")
    axes = figure.add_subplot()
    for run in runs:
        axes.plot([at for at, _ in run.queue], [owed for _, owed in run.queue], label=run.name)
        if run.grown is not None:
            axes.axvline(run.grown, linestyle=":", linewidth=0.8, color="grey")
    axes.set(xlabel="seconds (scaled)", ylabel="notifications owed", ylim=(0, None))
    axes.legend()
    figure.savefig(file, dpi=120)
