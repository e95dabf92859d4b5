"""One seed, the same odd cases: which kinds, in which order, and each with dice of its own."""

import random
from collections.abc import Collection, Iterator

from tests.strangers.bodies import bodies
from tests.strangers.dns_answers import names
from tests.strangers.draft import Draft, Ground, Kind, draft
from tests.strangers.http_answers import answers
from tests.strangers.messages import messages
from tests.strangers.records import records
from tests.strangers.smtp_dialogues import dialogues
from tests.strangers.stores import overrides, stories

FAMILIES = (messages, bodies, records, answers, dialogues, names, overrides, stories)
KINDS = {kind.name: kind for family in FAMILIES for kind in family.kinds}
LONG = 200
"""Cases from which on a run has those that are rare."""


def kinds(seed: int, count: int) -> list[Kind]:
    """Every kind in turn, shuffled anew each time; in a long run each rare one once."""
    dice = random.Random(seed)
    usual = [kind for kind in KINDS.values() if not kind.rare]
    drawn = [kind for kind in KINDS.values() if kind.rare] if count >= LONG else []
    while len(drawn) < count:
        drawn += dice.sample(usual, len(usual))
    drawn = drawn[:count]
    dice.shuffle(drawn)
    return drawn


def cases(seed: int, count: int, ground: Ground, *, without: Collection[str] = ()) -> Iterator[Draft]:
    """``without``: names of kinds or families that are left out; the other cases stay what they are."""
    for number, kind in enumerate(kinds(seed, count)):
        if not left_out(kind.name, without):
            made = draft(seed, number, kind.name, ground)
            kind.make(made)
            yield made


def left_out(kind: str, without: Collection[str]) -> bool:
    return kind in without or kind.partition(".")[0] in without
