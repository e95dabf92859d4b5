"""The limits of the house: how long a file and a function may be, and how many collaborators a constructor takes."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
TREES = ("notification_sender", "tools", "bench")
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION, MOST_COLLABORATORS = 300, 40, 8

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _files() -> Iterator[tuple[str, str]]:
    for path in (it for tree in TREES for it in sorted((ROOT / tree).rglob("*.py"))):
        yield str(path.relative_to(ROOT)), path.read_text()


def _functions() -> Iterator[tuple[str, Function]]:
    for name, text in _files():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, Function):
                yield f"{name}:{node.lineno} {node.name}", node


def _collaborators(function: Function) -> int:
    given = function.args
    return len([*given.posonlyargs, *given.args, *given.kwonlyargs]) - 1  # without self


def test_no_file_has_more_than_300_lines() -> None:
    lines = {name: text.count("\n") for name, text in _files()}
    assert {name: it for name, it in lines.items() if it > MOST_LINES_OF_A_FILE} == {}


def test_no_function_has_more_than_40_lines() -> None:
    lines = {name: (it.end_lineno or 0) - it.lineno + 1 for name, it in _functions()}
    assert {name: it for name, it in lines.items() if it > MOST_LINES_OF_A_FUNCTION} == {}


def test_no_constructor_takes_more_than_8_collaborators() -> None:
    taken = {name: _collaborators(it) for name, it in _functions() if it.name == "__init__"}
    assert {name: it for name, it in taken.items() if it > MOST_COLLABORATORS} == {}
