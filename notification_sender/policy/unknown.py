"""Words for a name that nothing has: which one may be meant, and which there are."""

from collections.abc import Collection
from difflib import get_close_matches

MOST_NAMED = 8
"""Names that one line has."""


def unknown(what: str, name: str, known: Collection[str]) -> str:
    """``no reason is called 'nope'; did you mean 'rejected'? There are: …``, without a full stop."""
    near = get_close_matches(name, sorted(known), 1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    names = sorted(known)
    more = f", and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    there = f"there are: {', '.join(names[:MOST_NAMED])}{more}" if names else "none is known"
    return f"no {what} is called {name!r}{meant or ';'} {there}"
