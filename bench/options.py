"""The options that benchmarks share: how many messages a run has, and how many rounds there are."""

import argparse
from collections.abc import Sequence
from typing import Any

LEAST = 1000
"""Messages of a run: fewer are over before they can be measured."""


class RunOptions(argparse.ArgumentParser):
    """``messages`` and ``rounds``: the defaults. ``of``: who takes part in a round."""

    def __init__(self, *, messages: int, rounds: int, of: str, **more: Any) -> None:
        super().__init__(**more)
        default = "(default: %(default)s)"
        self.add_argument("--messages", type=int, default=messages, metavar="N", help=f"in each run {default}")
        self.add_argument("--rounds", type=int, default=rounds, metavar="R", help=f"{of} {default}")

    def parsed(self, arguments: Sequence[str] | None) -> argparse.Namespace:
        """The options, or an exit that says what is wrong with them."""
        parsed = self.parse_args(arguments)
        if parsed.messages < LEAST or parsed.rounds < 1:
            self.error(f"at least {LEAST} messages and one round")
        return parsed
