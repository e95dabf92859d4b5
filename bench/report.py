"""What is printed: a line a run, and at the end the ratios with what they are expected to be."""

from collections.abc import Sequence
from statistics import median

from bench.figures import Figures, percentile, typical
from bench.race import Run

HEAD = f"{'':<22}{'msg/s':>8}{'CPU µs/msg':>12}{'all parts':>11}{'worker':>9}{'receiver':>10}{'peak RSS':>11}"
RECEIVER_SHARE = 0.70
CPU_RATIO = 2.0
CEILING_SHARE = 0.90


def line(name: str, it: Figures) -> str:
    """One row below ``HEAD``: shares are of the core that each has; all parts: CPU of worker, RabbitMQ and Redis."""
    return (
        f"{name:<22}{it.rate:>8,.0f}{it.cpu:>12,.0f}{it.all_parts:>11,.0f}{it.worker_share:>9.0%}{it.receiver_share:>10.0%}"
        f"{it.peak_rss:>7,.0f} MiB"
    )


def cpu_ratio(floor: Sequence[Figures], full: Sequence[Figures]) -> str:
    """Of each round, and their median."""
    ratios = [above.cpu / below.cpu for below, above in zip(floor, full, strict=True)]
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return _judged(
        f"CPU a message, full job to floor: {median(ratios):.2f} (rounds: {each})", CPU_RATIO, median(ratios)
    )


def rate_ratio(floor: Sequence[Figures], full: Sequence[Figures]) -> str:
    return f"messages a second, full job to floor: {typical(full).rate / typical(floor).rate:.2f}"


def ceiling(full: Figures, possible: float) -> str:
    """Against Little's law: what is in flight, by how long each takes."""
    share = full.rate / possible
    text = f"of the {possible:,.0f} messages a second that are possible: {share:.0%}"
    return f"{text} (at least {CEILING_SHARE:.0%}: {_verdict(good=share >= CEILING_SHARE)})"


def receiver(all_of: Sequence[Figures]) -> str:
    """A receiver that is busy itself would be what is measured."""
    share = max(it.receiver_share for it in all_of)
    return _judged(f"the receiver's share of its core, at most: {share:.0%}", RECEIVER_SHARE, share)


def latency(name: str, seconds: Sequence[float], rate: float) -> str:
    p50, p99 = percentile(seconds, 50) * 1000, percentile(seconds, 99) * 1000
    return f"{name}: published to arrived, {rate:,.0f} a second: p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def accounts(runs: Sequence[Run]) -> str:
    expected = sum(len(run.expected) for run in runs)
    lost, superfluous = sum(run.lost for run in runs), sum(run.superfluous for run in runs)
    return f"accounted for: {expected - lost} of {expected} (lost {lost}, arrived without being owed {superfluous})"


def _judged(text: str, most: float, value: float) -> str:
    limit = f"{most:.0%}" if most < 1 else f"{most:g}"
    return f"{text} (at most {limit}: {_verdict(good=value <= most)})"


def _verdict(*, good: bool) -> str:
    return "as expected" if good else "NOT AS EXPECTED"
