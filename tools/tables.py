"""Tables of Markdown."""

from collections.abc import Iterable, Iterator, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table. A bar in a cell is not the end of it."""
    yield _row(head)
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield _row([cell.replace("|", "\\|") for cell in row])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
