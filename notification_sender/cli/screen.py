"""What ``why``, ``eta``, ``status``, ``top`` and ``pods`` show to people: sentences, bars and tables."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from notification_sender.policy.flow import Flow
    from notification_sender.policy.verdict import Verdict

PERCENT = 100
STEPS_SHOWN = 8
"""Steps with a bar of their own; the rest is one bar."""

MIN_WIDTH = 5
"""Characters of a column of texts: the longest state."""

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0
_GOOD, _BAD, _UNKNOWN, _DIM = "green", "red", "yellow", "bright_black"
_QUIET = {"idle": _GOOD, "no_arrivals": _UNKNOWN, "paused": _UNKNOWN, "unknown": _UNKNOWN}


def console() -> Console:
    """Colours where the output is a terminal that has them, and ``NO_COLOR`` is not set."""
    return Console(highlight=False, soft_wrap=False)


def text(words: str = "", style: str = "") -> Text:
    return Text(words, style=style)


def headline(verdict: "Verdict") -> RenderableType:
    """The one sentence, and whether more pods help."""
    colour = _QUIET.get(verdict.limit, _BAD)
    first = Text.assemble((f"{verdict.limit}  ", f"bold {colour}"), (f"{verdict.sentence}.", "bold"))
    parts: list[RenderableType] = [first]
    if verdict.more_pods_help is not None:
        will = "More pods will help" if verdict.more_pods_help else "More pods will not help"
        parts.append(Text(f"{will}: {verdict.why_pods}."))
    return Group(*parts)


def advice(verdict: "Verdict") -> RenderableType:
    """What to do."""
    return Group(*(Text(f"→ {line}") for line in verdict.advice))


def steps(verdict: "Verdict", width: int) -> RenderableType:
    """A bar for each step: the part of the busy slot-seconds, and the slots."""
    total = sum(seconds for _, seconds in verdict.slot_seconds)
    if not total:
        return Text("No slot was busy.", style=_DIM)
    shown = list(verdict.slot_seconds[:STEPS_SHOWN])
    rest = total - sum(seconds for _, seconds in shown)
    if rest > 0.005 * total:
        shown.append(("other steps", rest))
    longest = shown[0][1]
    table = _table()
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True)
    room = max(10, width - max(len(name) for name, _ in shown) - 12)
    for name, seconds in shown:
        bar = Text("█" * max(1, round(room * seconds / longest)), style="cyan")
        table.add_row(name, f"{seconds / total:.0%}", bar)
    return table


def candidates(verdict: "Verdict") -> RenderableType:
    """The limit and the next candidates: used, allowed, waiting."""
    table = _table(header=True)
    for name, justify in (("limit", "left"), ("subject", "left"), ("used", "right"), ("allowed", "right")):
        table.add_column(name, justify=justify, no_wrap=name != "subject", overflow="fold")  # type: ignore[arg-type]
    table.add_column("", no_wrap=True)
    table.add_column("waiting", justify="right", no_wrap=True)
    for it in verdict.candidates:
        style = "" if it.holds else _DIM
        used, allowed = number(it.used), number(it.allowed)
        table.add_row(it.limit, it.subject or "", used, allowed, it.unit, number(it.waiting), style=style)
    return table


def flow_lines(flow: "Flow") -> RenderableType:
    """What comes in, goes out and waits."""
    table = _table()
    table.add_column(style=_DIM, no_wrap=True)
    table.add_column()
    table.add_row("in", rate(flow.arrivals_per_min, "work units"))
    table.add_row("out", rate(flow.deliveries_per_min, "deliveries"))
    table.add_row("waiting", waiting(flow))
    if flow.ladder:
        table.add_row("comes due", due(flow))
    nothing = "unknown" if flow.units is None else "nothing waits"
    table.add_row("oldest", nothing if flow.oldest_age_s is None else span(flow.oldest_age_s))
    table.add_row("done in", eta(flow))
    return table


def rate(per_minute: float | None, what: str) -> str:
    return "unknown" if per_minute is None else f"{number(per_minute)} {what} a minute"


def waiting(flow: "Flow") -> str:
    """The backlog, by place."""
    if flow.units is None or flow.notifications is None:
        return "unknown: RabbitMQ was not asked"
    parts = {
        "units queue": flow.units,
        "notifications queue": flow.notifications,
        "in hand": flow.in_hand,
        "delay ladder": sum(flow.ladder),
    }
    return f"{number(flow.backlog)}: " + ", ".join(f"{name} {number(it)}" for name, it in parts.items())


def due(flow: "Flow") -> str:
    """What comes out of the delay ladder, and within which time."""
    bounds = {"a minute": _MINUTE + 4, "an hour": _HOUR + 500, "a day": _DAY + 50_000, "3 days": 4 * _DAY}
    counts = dict.fromkeys(bounds, 0)
    for seconds, count in flow.due:
        counts[next(name for name, bound in bounds.items() if seconds <= bound)] += count
    said = [f"{number(count)} within {name}" for name, count in counts.items() if count]
    return ", ".join(said) or "nothing waits in the delay ladder"


def eta(flow: "Flow") -> str:
    """When what is due soon is done; never a number that means nothing."""
    if flow.eta_s is not None:
        return span(flow.eta_s) if flow.eta_s else "nothing waits"
    if not flow.never:
        return "unknown"
    grows = -(flow.drained_per_min or 0.0)
    return "never at this rate: the backlog " + (f"grows by {number(grows)} a minute" if grows > 0 else "does not fall")


def freshness(verdict: "Verdict") -> RenderableType:
    """How much of the fleet these figures are about."""
    words = f"{verdict.processes} of {verdict.expected} processes have reported in the last 15 s"
    if not verdict.expected:
        words = "No report of a process is known"
    return Text(words, style=_DIM if verdict.fresh else _UNKNOWN)


def section(title: str, content: RenderableType) -> RenderableType:
    """A part of a screen under a short title."""
    return Group(Text(), Text(title, style="bold"), Padding(content, (0, 0, 0, 2)))


def rows(columns: Sequence[str], lines: Iterable[Sequence[str | Text]], *, left: int = 1) -> RenderableType:
    """A table; the first ``left`` columns are texts, the others figures. Without names it has no header."""
    table = _table(header=any(columns))
    for place, name in enumerate(columns):
        text = place < left
        justify: Literal["left", "right"] = "left" if text else "right"
        table.add_column(name, justify=justify, no_wrap=not text, overflow="fold", min_width=MIN_WIDTH if text else 0)
    for line in lines:
        table.add_row(*line)
    return table


def number(value: float | None) -> str:
    """With a separator of thousands, and one digit after the point where that says something."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= PERCENT else f"{value:,.1f}"


def span(seconds: float) -> str:
    """A duration in its two largest units."""
    if seconds < 1:
        return "less than 1 s"
    units = (("d", _DAY), ("h", _HOUR), ("min", _MINUTE), ("s", 1.0))
    for place, (name, size) in enumerate(units):
        if seconds >= size:
            whole, rest = divmod(round(seconds), int(size))
            lower = units[place + 1] if place + 1 < len(units) else None
            part = f" {rest // int(lower[1])} {lower[0]}" if lower and rest // int(lower[1]) else ""
            return f"{whole} {name}{part}"
    return "less than 1 s"


def _table(*, header: bool = False) -> Table:
    return Table(box=None, show_header=header, pad_edge=False, padding=(0, 2, 0, 0), header_style=_DIM)
