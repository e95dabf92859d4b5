"""What is printed of the peers: a row each, as ratios to the floor and to the full job of the same rounds."""

from collections.abc import Mapping

from bench.figures import Figures

FLOOR, FULL = "floor", "full job"
HEAD = (
    f"{'':<20}{'msg/s':>8}{'to floor':>10}{'to ours':>9}{'CPU µs/msg':>13}{'to floor':>10}{'to ours':>9}"
    f"{'core':>7}{'peak RSS':>11}"
)


def table(all_of: Mapping[str, Figures]) -> str:
    """A line for each name; the floor and the full job are among them."""
    return "\n".join([HEAD, *(_row(name, it, all_of[FLOOR], all_of[FULL]) for name, it in all_of.items())])


def _row(name: str, it: Figures, floor: Figures, full: Figures) -> str:
    rates = f"{it.rate:>8,.0f}{it.rate / floor.rate:>10.2f}{it.rate / full.rate:>9.2f}"
    costs = f"{it.cpu:>13,.0f}{it.cpu / floor.cpu:>10.2f}{it.cpu / full.cpu:>9.2f}"
    return f"{name:<20}{rates}{costs}{it.worker_share:>7.0%}{it.peak_rss:>7,.0f} MiB"
