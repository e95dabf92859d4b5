"""The page about the architecture names files and packages that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
NAMED = sorted(set(re.findall(r"`([\w./]+(?:\.py|\.lua|/))`", PAGE.read_text())))


@pytest.mark.parametrize("name", NAMED)
def test_what_the_page_names_is_there(name: str) -> None:
    assert any((folder / name).exists() for folder in (ROOT / "notification_sender", ROOT))


def test_every_package_stands_in_the_table() -> None:
    packages = {it.parent.name for it in (ROOT / "notification_sender").glob("*/__init__.py")}
    assert {f"{it}/" for it in packages} <= set(NAMED)
