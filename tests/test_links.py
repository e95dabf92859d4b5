"""The check of links finds what leads nowhere, and nothing else."""

from pathlib import Path

import pytest

from tools.links import anchors, links, main


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "other.md").write_text("# A page\n\n## What `x.y` does, and why\n\n## Twice\n\n## Twice\n")
    (tmp_path / "picture.png").write_bytes(b"")
    return tmp_path / "page.md"


@pytest.mark.parametrize(
    "target",
    [
        *("other.md", "other.md#a-page", "other.md#what-xy-does-and-why", "other.md#twice-1", "#here", "picture.png"),
        *("https://example.com/x#y", "mailto:noc@example.com"),
    ],
)
def test_a_link_that_leads_somewhere_is_fine(page: Path, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    page.write_text(f"# Here\n\nSee [it]({target}).\n")
    assert main([str(page)]) == 0
    assert capsys.readouterr().out == "broken links: 0\n"


@pytest.mark.parametrize("target", ["away.md", "other.md#away", "#away", "other.md#twice-2"])
def test_a_link_that_leads_nowhere_is_named_with_its_line(
    page: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page.write_text(f"# Here\n\nSee [it]({target}).\n")
    assert main([str(page.parent)]) == 1
    line, number = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{page}:3: ")
    assert number == "broken links: 1"


def test_links_in_code_are_none() -> None:
    assert list(links("```\n[a](b.md)\n```\n`[a](b.md)` [c](d.md)\n\n[e]: f.md\n")) == [(4, "d.md"), (6, "f.md")]


def test_headings_in_code_are_no_anchors() -> None:
    assert anchors("# A [link](b.md)\n```\n# c\n```\n") == {"a-link"}
