"""Scripts, product and oracles have their constants from one module."""

import re
from pathlib import Path

import pytest

from notification_sender.adapters.redis import constants
from notification_sender.adapters.redis.scripts import load

ROOT = Path(__file__).parents[3]
SCRIPTS = sorted((ROOT / "lua").glob("*.lua"))
ORACLES = sorted((ROOT / "tests" / "oracles").glob("*.py"))

PROSE = re.compile(r"--.*|'[^'\n]*'")
"""Comments, and texts: commands and fields of Redis."""
PLACES = re.compile(r"unpack\(ARGV.*?\)|\[\d+\]")
NAME = re.compile(r"\b[A-Z][A-Z_]+\b")
LARGE = re.compile(r"\b\d{2,}\b")
PER_MILLISECOND = "1000"
DEFINED = re.compile(r"^(?:local )?[A-Z_]+(?:: \w+)? = .*\d", re.MULTILINE)


def names(script: Path) -> set[str]:
    return set(NAME.findall(PROSE.sub("", script.read_text()))) - {"KEYS", "ARGV"}


@pytest.mark.parametrize("file", [*SCRIPTS, *ORACLES], ids=lambda it: it.name)
def test_neither_a_script_nor_an_oracle_has_a_constant_of_its_own(file: Path) -> None:
    assert DEFINED.findall(file.read_text()) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda it: it.name)
def test_a_script_names_its_constants_and_all_of_them_exist(script: Path) -> None:
    code = PLACES.sub("", PROSE.sub("", script.read_text()))
    assert set(LARGE.findall(code)) <= {PER_MILLISECOND}
    assert names(script) <= vars(constants).keys()


def test_a_script_begins_with_the_constants_that_it_names_and_no_others() -> None:
    head = load("fact", "lookup").source.partition("\n--")[0]
    assert head == f"local SECOND = {constants.SECOND}\nlocal TIME_DIGITS = {constants.TIME_DIGITS}"
    assert "local HOLD = 'retry_after'\n" in load("record", "admit").source


def test_every_constant_is_used_by_a_script_or_an_oracle() -> None:
    used = {name for script in SCRIPTS for name in names(script)}
    used |= {name for oracle in ORACLES for name in NAME.findall(oracle.read_text())}
    assert {it for it in vars(constants) if it.isupper()} <= used
