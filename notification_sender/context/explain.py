"""Explains which sources of a recipe would run, and why: as text for a terminal, or as a Mermaid graph."""

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
"""The indent of further lines: the columns of state and name stay empty."""


@dataclass(frozen=True, slots=True)
class Line:
    """One source. ``why`` says why it runs, or that no template reads it."""

    source: Source
    runs: bool
    why: str
    needs: tuple[str, ...]
    """The names of the sources that it needs."""


def explained(recipe: Recipe, subject: str | None, readers: Mapping[str, Collection[str]]) -> list[Line]:
    """Return all sources of a recipe in the order of their needs.

    ``readers``: the names that each template reads. ``subject``: None if no destination matches, so no source runs.
    """
    read = {name for names in readers.values() for name in names}
    running = recipe.plan(read | {subject}) if subject is not None else ()
    return [
        Line(source, source in running, _why(recipe, source, subject, readers, running), _needs(source, recipe))
        for source in recipe.plan(recipe.sources)
    ]


def text(lines: Iterable[Line]) -> str:
    """Return a block for each source: whether it runs, why, its needs, and how long its facts are kept."""
    rows = []
    for line in lines:
        rows.append(f"{'runs   ' if line.runs else 'is left'}  {line.source.name:<24}{_column(line.why)}")
        rows.append(UNDER + _column(_how(line)))
    return "\n".join(rows)


def _column(words: str) -> str:
    """Wrap the words in their column. Words between two separators stay on one line if they fit."""
    room = WIDTH - len(UNDER)
    pieces = re.split(r"(?<=;) | (?=· )", words)
    whole = " ".join(piece.replace(" ", GLUE) if len(piece) <= room else piece for piece in pieces)
    rows = wrap(whole, room, break_long_words=False, break_on_hyphens=False)
    return f"\n{UNDER}".join(rows).replace(GLUE, " ")


def mermaid(lines: Iterable[Line]) -> str:
    """Return the graph in Mermaid. Sources that run are filled."""
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
    parts = [f"needs {', '.join(line.needs)}"] if line.needs else []
    if source.kind is None:
        parts.append("derived, not kept")
    else:
        parts.append(f"kept {_time(source.kind.ttl)}")
        parts += [f"{_time(source.kind.stale)} more if it cannot be had"] if source.kind.stale else []
    parts += ["optional"] if source.optional is True else []
    parts += ["may be absent"] if source.optional == "absent" else []
    parts += [f"within {_time(source.timeout)}"] if source.timeout else []
    parts += ["may be cut short"] if source.partial else []
    parts += [f"calls shared within {_time(source.coalesce)}"] if source.coalesce else []
    return " · ".join(parts)


def _shape(line: Line) -> str:
    name = line.source.name
    shape = f"[{name}]" if line.source.kind is None else f"[({name})]"
    return f"{shape}:::runs" if line.runs else shape


def _time(seconds: float) -> str:
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{1000 * seconds:g}ms"
