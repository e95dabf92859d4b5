"""``python -m bench.scaling [PNG]``: prints what the fleet scales to, and draws it."""

import sys
from pathlib import Path

from bench.scaling.model import MOST, STEP, Autoscaler, Fleet, depth, simulate, the_day, useful_demand

START = 215
"""Pods of 70 % use at the usual arrivals."""


def runs() -> dict[str, Fleet]:
    """The same day, scaled in both ways."""
    return {
        "useful demand": simulate(the_day(), useful_demand, Autoscaler(target=0.7), START),
        "depth of the queue": simulate(the_day(), depth, Autoscaler(target=50.0), START),
    }


def minutes(fleet: Fleet, first: float, last: float) -> list[tuple[float, int, float, str, float | None]]:
    return [it for it in fleet.history if first * 60 <= it[0] < last * 60]


def table(done: dict[str, Fleet]) -> str:
    """A line for each way."""
    head = f"{'pods by':<20}{'outage, most':>14}{'recovered':>12}{'doubled, most':>15}{'pod hours':>11}"
    lines = [head]
    for name, fleet in done.items():
        outage = max(it[1] for it in minutes(fleet, 20, 40))
        drained = next((it[0] / 60 for it in minutes(fleet, 40, 150) if it[2] == 0), None)
        doubled = max(it[1] for it in minutes(fleet, 100, 125))
        hours = sum(it[1] for it in fleet.history) * STEP / 3600
        recovered = "never" if drained is None else f"{drained - 40:.1f} min"
        lines.append(f"{name:<20}{outage:>14,}{recovered:>12}{doubled:>15,}{hours:>11,.0f}")
    return "\n".join(lines)


def draw(done: dict[str, Fleet], file: Path) -> None:
    """Pods and units that wait, over time."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - the table needs none

    figure = Figure(figsize=(9, 5.5), layout="tight")
    pods, queue = figure.subplots(2, sharex=True)
    for name, fleet in done.items():
        at = [it[0] / 60 for it in fleet.history]
        pods.plot(at, [it[1] for it in fleet.history], label=name)
        queue.plot(at, [it[2] / 1e6 for it in fleet.history], label=name)
    for axes in (pods, queue):
        axes.axvspan(20, 40, color="tab:red", alpha=0.12, linewidth=0)
        axes.axvspan(100, 120, color="tab:green", alpha=0.12, linewidth=0)
        axes.spines[["top", "right"]].set_visible(False)
    pods.set(ylabel="pods", ylim=(0, MOST * 1.15), title="An API is out for 20 minutes, later arrivals double")
    pods.text(30, MOST * 1.05, "API out", ha="center")
    pods.text(110, MOST * 1.05, "arrivals double", ha="center")
    queue.set(xlabel="minutes", ylabel="units that wait, millions", ylim=(0, None), xlim=(0, 150))
    queue.legend(frameon=False)
    figure.savefig(file, dpi=120)


def main() -> None:
    """Print, and draw where a file is named."""
    done = runs()
    print(table(done))
    if len(sys.argv) > 1:
        draw(done, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
