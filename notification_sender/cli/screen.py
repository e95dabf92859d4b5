"""What ``why``, ``eta``, ``status``, ``top`` and ``pods`` show to people: sentences, bars and tables."""

import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from notification_sender.cli.conventions import utc_text
from notification_sender.policy.words import counted

if TYPE_CHECKING:
    from notification_sender.policy.flow import Flow
    from notification_sender.policy.verdict import Verdict

PERCENT = 100
STEPS_SHOWN = 8
"""Steps with a bar of their own; the rest is one bar."""

NO_TERMINAL = 120
"""Characters of a line where the output is a file or a pipe."""

MIN_WIDTH = 5
"""Characters of a column of texts: the longest state."""

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0
_GOOD, _BAD, _UNKNOWN, _DIM = "green", "red", "yellow", "bright_black"
_QUIET = {"idle": _GOOD, "no_arrivals": _UNKNOWN, "paused": _UNKNOWN, "unknown": _UNKNOWN}


def console() -> Console:
    """Colours where the output is a terminal that has them, and ``NO_COLOR`` is not set."""
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, soft_wrap=False, width=None if known else NO_TERMINAL)


def show(*parts: RenderableType) -> None:
    """Print. A file or a pipe gets no blanks at the ends of lines; no path is cut, also where it is too long."""
    out = console()
    if out.is_terminal:
        out.print(*parts, sep="\n", crop=False)
        return
    with out.capture() as captured:
        out.print(*parts, sep="\n", crop=False)
    print("\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n")))


def text(words: str = "", style: str = "") -> Text:
    return Text(words, style=style)


def wrapped(words: str, width: int, *, style: str = "") -> Text:
    """Words in lines of ``width``. A word that is longer stays whole: it may be a path, to be copied."""
    return _lines(_fold(words, width), style)


def headline(verdict: "Verdict", width: int) -> RenderableType:
    """The one sentence, and whether more pods help."""
    colour, limit = _QUIET.get(verdict.limit, _BAD), verdict.limit
    first = wrapped(f"{limit}  {verdict.sentence}.", width, style="bold")
    first.stylize(colour, 0, len(limit))
    parts: list[RenderableType] = [first]
    if verdict.more_pods_help is not None:
        will = "More pods will help" if verdict.more_pods_help else "More pods will not help"
        parts.append(wrapped(f"{will}: {verdict.why_pods}.", width))
    return Group(*parts)


def advice(verdict: "Verdict", width: int) -> RenderableType:
    """What to do."""
    return Group(*(wrapped(f"→ {line}", width) for line in verdict.advice))


def pairs(rows: Iterable[tuple[str, str | Sequence[str]]], width: int) -> RenderableType:
    """A name and what is said of it, a line or more each."""
    given = [(name, [said] if isinstance(said, str) else said) for name, said in rows]
    indent = max((len(name) for name, _ in given), default=0) + 2
    room = max(20, width - indent)
    lines = []
    for name, said in given:
        folded = [piece for line in said for piece in _fold(line, room)] or [""]
        lines += [Text.assemble((f"{name:<{indent}}", _DIM), folded[0], no_wrap=True, overflow="ignore")]
        lines += [_lines([" " * indent + piece]) for piece in folded[1:]]
    return Group(*lines)


def overrides(verdict: "Verdict", width: int) -> RenderableType:
    """What operators have set, with its end; a line each."""
    lines = (
        f"{it.kind} {it.value}".rstrip()
        + f"  {it.subject}  until {utc_text(it.until)}, by {it.by}: {it.note}".rstrip(": ")
        for it in verdict.overrides
    )
    return Group(*(wrapped(line, width) for line in lines))


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


def flow_lines(flow: "Flow", width: int) -> RenderableType:
    """What comes in, goes out and waits."""
    lines = [
        ("in", rate(flow.arrivals_per_min, "work unit", flow.no_reports or flow.no_depths)),
        ("out", rate(flow.deliveries_per_min, "delivery", flow.no_reports)),
        ("waiting", waiting(flow)),
        *([("comes due", due(flow))] if flow.ladder else []),
        ("oldest", oldest(flow)),
        ("done in", eta(flow)),
    ]
    return pairs(lines, width)


def unknown(why: str) -> str:
    return f"unknown: {why}" if why else "unknown"


def rate(per_minute: float | None, one: str, why: str) -> str:
    many = f"{one[:-1]}ies" if one.endswith("y") else f"{one}s"
    return unknown(why) if per_minute is None else f"{number(per_minute)} {one if per_minute == 1 else many} a minute"


def waiting(flow: "Flow") -> str:
    """The backlog, by place."""
    if flow.units is None or flow.notifications is None:
        return unknown(flow.no_depths)
    parts = {
        "units queue": number(flow.units),
        "notifications queue": number(flow.notifications),
        "unsettled": unknown(flow.no_reports) if flow.unsettled is None else number(flow.unsettled),
        "delay ladder": number(sum(flow.ladder)),
    }
    return f"{number(flow.backlog)}: " + ", ".join(f"{name} {it}" for name, it in parts.items())


def oldest(flow: "Flow") -> str:
    if flow.oldest_age_s is not None:
        return span(flow.oldest_age_s)
    why = flow.no_reports or flow.no_depths
    return unknown(why) if why else "nothing waits"


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
        return unknown(flow.no_depths or flow.no_reports or "the queues were looked at for less than 10 s")
    grows = -(flow.drained_per_min or 0.0)
    how = {"grows": f"grows by {number(grows)} a minute", "steady": "is steady"}.get(flow.trend or "", "hardly falls")
    return f"never at this rate: the backlog {how}"


def freshness(verdict: "Verdict") -> RenderableType:
    """How much of the fleet these figures are about."""
    words = f"{verdict.processes} of {counted(verdict.expected, 'process', 'processes')} reported in the last 15 s"
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


def fitting(
    columns: Sequence[str], lines: Sequence[Sequence[str | Text]], width: int, spare: Sequence[str]
) -> tuple[list[str], list[list[str | Text]], list[str]]:
    """The table without as many ``spare`` columns, the first of them first, as do not fit; and these."""
    kept, left_out = list(columns), []
    for name in spare:
        widths = [max([len(it), *(len(line[columns.index(it)]) for line in lines)]) for it in kept]
        if sum(widths) + 2 * len(kept) <= width:
            break
        kept.remove(name)
        left_out.append(name)
    places = [columns.index(it) for it in kept]
    return kept, [[line[place] for place in places] for line in lines], left_out


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


def _fold(words: str, width: int) -> list[str]:
    return textwrap.wrap(words, max(20, width), break_long_words=False, break_on_hyphens=False) or [""]


def _lines(lines: Sequence[str], style: str = "") -> Text:
    return Text("\n".join(lines), style=style, no_wrap=True, overflow="ignore")


def _table(*, header: bool = False) -> Table:
    return Table(box=None, show_header=header, pad_edge=False, padding=(0, 2, 0, 0), header_style=_DIM)
