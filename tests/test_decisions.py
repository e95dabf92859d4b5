"""Each decision page has a title, a status with its date and three parts, and the index lists it."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "docs" / "decisions"
PAGES = sorted(FOLDER.glob("[0-9]*.md"))
INDEX = (FOLDER / "README.md").read_text()

HEAD = re.compile(
    r"# (?P<number>\d+)\. (?P<title>.+)\n\nStatus: (?P<status>accepted|superseded by .+) · (?P<date>[\d-]{10})\n"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name[:4])
def test_a_page_has_a_status_with_its_date_and_three_parts(page: Path) -> None:
    text = page.read_text()

    head = HEAD.match(text)
    assert head, "a page starts with: # <number>. <title>, then Status: accepted · <date>"
    assert int(head["number"]) == int(page.name[:4])
    assert re.findall("^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]


def test_the_index_lists_every_page_in_order() -> None:
    heads = [(page.name, HEAD.match(page.read_text())) for page in PAGES]
    rows = re.findall(r"^\| (\d+) \| \[(.+?)\]\((.+?)\) \| .+ \| ([\d-]{10}) \|$", INDEX, re.MULTILINE)

    assert rows == [(head["number"], head["title"], name, head["date"]) for name, head in heads if head]


def test_numbers_have_no_gap() -> None:
    assert [int(page.name[:4]) for page in PAGES] == list(range(1, len(PAGES) + 1))
