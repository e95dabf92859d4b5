"""Explains which sources of a recipe would run, and why: as text for a terminal, as a picture for a page."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from textwrap import wrap

from notification_sender.context.recipe import Recipe
from notification_sender.context.source import Source

WIDTH = 100
"""Columns of a terminal."""

GLUE = "\u00a0"

UNDER = " " * 33
"""Below the reasons: the columns of the word and the name stay empty."""


@dataclass(frozen=True, slots=True)
class Line:
    """One source. ``why`` says why it runs, or that nobody reads it."""

    source: Source
    runs: bool
    why: str
    needs: tuple[str, ...]
    """Other sources."""


def explained(recipe: Recipe, subject: str | None, readers: Mapping[str, Collection[str]]) -> list[Line]:
    """All sources of a recipe in the order of their needs. ``readers``: the names that each template reads; ``subject``
    None where nobody is told, and nothing runs.
    """
    read = {name for names in readers.values() for name in names}
    running = recipe.plan(read | {subject}) if subject is not None else ()
    return [
        Line(source, source in running, _why(recipe, source, subject, readers, running), _needs(source, recipe))
        for source in recipe.plan(recipe.sources)
    ]


def text(lines: Iterable[Line]) -> str:
    """A block for each source: whether it runs, why, what it needs, how long its facts are kept."""
    rows = []
    for line in lines:
        rows.append(f"{'runs   ' if line.runs else 'is left'}  {line.source.name:<24}{_column(line.why)}")
        rows.append(UNDER + _column(_how(line)))
    return "\n".join(rows)


def _column(words: str) -> str:
    """In its column; what stands between two marks stays on one line where it fits."""
    room = WIDTH - len(UNDER)
    pieces = re.split(r"(?<=;) | (?=· )", words)
    whole = " ".join(piece.replace(" ", GLUE) if len(piece) <= room else piece for piece in pieces)
    rows = wrap(whole, room, break_long_words=False, break_on_hyphens=False)
    return f"\n{UNDER}".join(rows).replace(GLUE, " ")


def mermaid(lines: Iterable[Line]) -> str:
    """The graph; what runs is filled."""
    lines = list(lines)
    arrows = [f"    {need} --> {line.source.name}" for line in lines for need in line.needs]
    nodes = [f"    {line.source.name}{_shape(line)}" for line in lines]
    return "\n".join(["flowchart LR", *nodes, *arrows, "    classDef runs fill:#cde8cf,stroke:#2d6a31,color:#000"])


def _why(
    recipe: Recipe,
    source: Source,
    subject: str | None,
    readers: Mapping[str, Collection[str]],
    running: Collection[Source],
) -> str:
    if source not in running:
        later = [reason.name for reason in recipe.reasons.values() if source in recipe.plan(reason.needs)]
        return "no template reads it" + (f"; {', '.join(later)} does, of what comes back late" if later else "")
    read_by = [reader for reader, names in readers.items() if source.name in names]
    reasons = [f"read by {', '.join(read_by)}"] if read_by else []
    if source.name == subject:
        reasons.append("what the unit is about")
    needed_by = [other.name for other in running if source.name in other.needs]
    if needed_by:
        reasons.append(f"needed by {', '.join(needed_by)}")
    return "; ".join(reasons)


def _needs(source: Source, recipe: Recipe) -> tuple[str, ...]:
    return tuple(name for name in recipe.sources if name in source.needs)


def _how(line: Line) -> str:
    source = line.source
    said = [f"needs {', '.join(line.needs)}"] if line.needs else []
    if source.kind is None:
        said.append("derived, not kept")
    else:
        said.append(f"kept {_time(source.kind.ttl)}")
        said += [f"{_time(source.kind.stale)} more if it cannot be had"] if source.kind.stale else []
    said += ["optional"] if source.optional is True else []
    said += ["may be absent"] if source.optional == "absent" else []
    said += [f"within {_time(source.timeout)}"] if source.timeout else []
    said += ["may be cut short"] if source.partial else []
    said += [f"calls shared within {_time(source.coalesce)}"] if source.coalesce else []
    return " · ".join(said)


def _shape(line: Line) -> str:
    name = line.source.name
    shape = f"[{name}]" if line.source.kind is None else f"[({name})]"
    return f"{shape}:::runs" if line.runs else shape


def _time(seconds: float) -> str:
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{1000 * seconds:g}ms"
