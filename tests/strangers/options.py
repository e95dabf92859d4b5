"""Which cases a run has, as ``python -m tests.strangers`` hands it over to the test."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SHORT, LONG = 40, 400
"""Odd cases of a run among the other tests, and of one by itself."""


@dataclass(frozen=True, slots=True)
class Options:
    """``only``: the numbers of cases, or names of kinds and families; all where there are none."""

    seed: int = 1
    count: int = SHORT
    only: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    into: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Options":
        return cls(
            seed=int(environ.get("STRANGERS_SEED", "1")),
            count=int(environ.get("STRANGERS_COUNT", SHORT)),
            only=_names(environ.get("STRANGERS_ONLY", "")),
            without=_names(environ.get("STRANGERS_WITHOUT", "")),
            into=environ.get("STRANGERS_RECORD", ""),
        )

    def environ(self) -> dict[str, str]:
        return os.environ | {
            "STRANGERS_SEED": str(self.seed),
            "STRANGERS_COUNT": str(self.count),
            "STRANGERS_ONLY": ",".join(self.only),
            "STRANGERS_WITHOUT": ",".join(self.without),
            "STRANGERS_RECORD": self.into,
        }

    def wants(self, number: int, kind: str) -> bool:
        return not self.only or not self.only.isdisjoint({str(number), kind, kind.partition(".")[0]})

    def record(self, line: bytes) -> None:
        """For the page; nothing where nobody makes one."""
        if self.into:
            with Path(self.into).open("ab") as lines:
                lines.write(line + b"\n")


def _names(text: str) -> frozenset[str]:
    return frozenset(filter(None, text.split(",")))
