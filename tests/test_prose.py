"""The check of the prose finds hard sentences, and only in prose."""

from pathlib import Path

import pytest

from tools.prose import blocks, fault, findings, main, sentences

LONG = "The worker " + "very " * 30 + "slowly parks the message."


def found(tmp_path: Path, text: str, name: str = "page.md") -> list[str]:
    file = tmp_path / name
    file.write_text(text)
    return [it.removeprefix(f"{file}:") for it in findings(file)]


def test_a_sentence_over_thirty_words_is_found_at_the_line_of_its_paragraph(tmp_path: Path) -> None:
    [line] = found(tmp_path, f"# Title\n\nShort.\n{LONG}\n")
    assert line.startswith("3: 36 words, at most 30: The worker very")


@pytest.mark.parametrize("start", ["What is", "Whoever", "Who is", "**What is"])
def test_a_start_that_hides_the_subject_is_found(tmp_path: Path, start: str) -> None:
    assert len(found(tmp_path, f"The worker stops. {start} late waits.\n")) == 1


def test_thirty_words_are_enough() -> None:
    assert fault(" ".join(["word"] * 30)) is None
    assert fault(" ".join(["word"] * 31)) == "31 words, at most 30"


@pytest.mark.parametrize(
    "text", [f"```\n{LONG}\n```\n", f"Shown:\n\n    {LONG}\n", f"<!-- {LONG} -->\n", f"`{LONG}`\n"]
)
def test_code_and_comments_are_no_prose(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == []


def test_each_cell_of_a_table_is_a_text_of_its_own() -> None:
    assert list(blocks("| a | `b|c` |\n|---|---|\n| One. Two. | d |\n")) == [
        *((1, it) for it in ("a", "`code`")),
        *((3, it) for it in ("One. Two.", "d")),
    ]


def test_a_table_between_lines_of_equals_signs_is_no_prose() -> None:
    assert list(blocks("A\n\n=====  ====\n/livez  200\n/readyz  503\n=====  ====\n\nB\n")) == [(1, "A"), (8, "B")]


def test_each_item_of_a_list_and_each_heading_is_a_text_of_its_own() -> None:
    assert list(blocks("# A\nb\nc\n* d\n  e\n* f\n")) == [(1, "A"), (2, "b c"), (4, "d e"), (6, "f")]


def test_a_sentence_ends_where_the_next_begins() -> None:
    assert list(sentences("It waits 0.5 s. `x.y` goes on! Why? **So** it is, e.g. here · And [there](a.md).")) == [
        *("It waits 0.5 s.", "`code` goes on!", "Why?", "**So** it is, e.g. here", "And there."),
    ]


def test_docstrings_of_all_kinds_are_read_and_other_strings_are_not(tmp_path: Path) -> None:
    code = f'"""Fine.\n\n{LONG}\n"""\nX = "{LONG}"\nY = 1\n"""{LONG}"""\n\ndef f():\n    """{LONG}"""\n'
    assert [it.split(":")[0] for it in found(tmp_path, code, "module.py")] == ["3", "7", "10"]


def test_the_command_says_how_many_and_fails_for_any(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "good.md").write_text("Good.\n")
    assert main([str(tmp_path)]) == 0
    (tmp_path / "bad.md").write_text(LONG)
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "hard sentences: 1"
    assert main([]) == 2
