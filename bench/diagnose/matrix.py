"""The confusion matrix: a row for what was caused, a column for what was said."""

from collections import Counter
from collections.abc import Iterable, Sequence

from bench.diagnose.judge import HEALTHY, LIMITS, NO_ANSWER

NOTHING = "(healthy)"
"""The row of stretches in which nothing was caused."""


def table(pairs: Iterable[tuple[str | None, str]]) -> list[list[str]]:
    """Cells, with a head: of pairs of the limit that was caused (None: nothing) and the one that was said."""
    counted = Counter((caused or NOTHING, said) for caused, said in pairs)
    order = (*LIMITS, NO_ANSWER)
    rows = [it for it in (NOTHING, *LIMITS) if any(caused == it for caused, _ in counted)]
    columns = [it for it in order if any(said == it for _, said in counted) or it in rows or it == HEALTHY]
    lines = [[caused, *(str(counted[caused, said] or "·") for said in columns)] for caused in rows]
    return [["caused \\ said", *columns], *lines]


def plain(cells: Sequence[Sequence[str]]) -> str:
    """For a terminal: the names of the columns stand upright, or they would not fit."""
    head, *rows = cells
    wide = max(len(row[0]) for row in cells)
    tall = max(len(name) for name in head[1:])
    upright = [" " * wide + "".join(f"{name.rjust(tall)[line]:>3}" for name in head[1:]) for line in range(tall)]
    return "\n".join([*upright, *(f"{row[0]:<{wide}}" + "".join(f"{it:>3}" for it in row[1:]) for row in rows)])


def markdown(cells: Sequence[Sequence[str]]) -> str:
    head, *rows = cells
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(it)} |" for it in lines)
