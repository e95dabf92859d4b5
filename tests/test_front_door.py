"""What a newcomer reads and runs first is there, and what it says is true."""

import re
import shlex
import shutil
import tomllib
from configparser import ConfigParser
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder
from trove_classifiers import classifiers

from tools.plain_yaml import read

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = re.findall(r"^for version in (.*); do$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)[0].split()
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md")
FOLDERS = ("notification_sender", "tests", "bench", "docs", "lua", "templates", "requirements", "deploy")
SERVICES = {"rabbitmq", "amqp_url", "redis_service", "redis_url", "redis_server", "bench"}
"""Fixtures of the tests that start a server."""


def text(name: str) -> str:
    return (ROOT / name).read_text()


def code(page: str) -> list[str]:
    """What a page shows as code: words in backticks, and the commands of its consoles."""
    blocks = re.findall(r"^```console\n(.*?)^```", text(page), re.MULTILINE | re.DOTALL)
    commands = [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return commands + re.findall(r"`([^`\n]+)`", re.sub(r"(?s)```.*?```", "", text(page)))


# --- the pages ---


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_make_targets_that_exist(page: str) -> None:
    named = {target for it in code(page) for target in re.findall(r"\bmake ([a-z]+)", it)}
    assert named <= TARGETS


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_files_and_folders_that_exist(page: str) -> None:
    words = {word for it in code(page) for word in shlex.split(it.replace("=", " "), comments=True)}
    paths = {word for word in words if word.split("/")[0] in FOLDERS and ("/" in word) and "<" not in word}
    links = set(re.findall(r"\]\(([^)#]+)", text(page)))
    local = {it for it in paths | links if "://" not in it and not re.search(r"\s", it)}
    assert [it for it in sorted(local) if not (ROOT / it).exists()] == []


def test_contributing_says_how_to_set_up_test_and_add_a_part() -> None:
    headings = re.findall(r"^## (.*)$", text("CONTRIBUTING.md"), re.MULTILINE)
    assert {"Set up", "Test a change", "How the suites are laid out", "Add a channel", "Add a source"} <= set(headings)


def test_contributing_names_every_folder_of_the_package_and_how_long_each_suite_takes() -> None:
    page = text("CONTRIBUTING.md")
    parts = {it.parent.name for it in (ROOT / "notification_sender").glob("*/__init__.py")}
    named = set(re.findall(r"`([a-z]+)`", page.split("## Where code goes")[1]))
    assert sorted(parts - named) == []
    timed = set(re.findall(r"^\| `make ([a-z]+)` \| [^|]*(?:second|minute)", page, re.MULTILINE))
    assert {"unit", "test", "simulate", "mutants", "strangers", "faults", "bench", "soak", "overload"} <= timed


def test_the_licence_is_the_one_that_the_project_names() -> None:
    assert text("LICENSE").startswith("MIT License\n\nCopyright (c) 2026 notification-sender contributors\n")
    assert PROJECT["license"] == "MIT"
    assert PROJECT["authors"] == [{"name": "notification-sender contributors"}]
    assert "urls" not in PROJECT


# --- the package ---


def test_classifiers_exist_and_name_the_pythons_that_are_tested() -> None:
    assert set(PROJECT["classifiers"]) <= classifiers
    prefix = "Programming Language :: Python :: 3."
    assert [f"3.{it.removeprefix(prefix)}" for it in PROJECT["classifiers"] if it.startswith(prefix)] == PYTHONS


def test_the_wheel_carries_its_types_its_licence_its_templates_and_its_scripts(tmp_path: Path) -> None:
    [wheel] = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = set(ZipFile(wheel).namelist())
    for name in ("py.typed", "templates/intel/webhook.json.j2", "lua/admit.lua"):
        assert f"notification_sender/{name}" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "bench/")) for name in names)


def test_the_image_is_built_with_all_that_the_build_of_the_wheel_reads() -> None:
    wanted = {PROJECT["readme"], *PROJECT["license-files"]}
    copied = {word for line in re.findall(r"^COPY (.*)$", text("Dockerfile"), re.MULTILINE) for word in line.split()}
    sent = {line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")}
    assert wanted <= copied
    assert wanted <= sent


# --- make unit, the hooks, the workflow, the editor ---


def unit_files() -> list[Path]:
    left_out = re.findall(r"^NOT_UNIT := (.*)$", MAKEFILE, re.MULTILINE)[0].split()
    assert all((ROOT / "tests" / it).is_dir() for it in left_out)
    tests = (ROOT / "tests").rglob("test_*.py")
    return [it for it in tests if not any(it.is_relative_to(ROOT / "tests" / folder) for folder in left_out)]


def test_no_test_of_make_unit_asks_for_a_service() -> None:
    asks = re.compile(rf"^\s*(?:async )?def test_\w+\([^)]*\b(?:{'|'.join(SERVICES)})\b", re.MULTILINE)
    assert [it.name for it in unit_files() if asks.search(it.read_text())] == []
    assert len(unit_files()) > 50


def test_make_test_and_make_unit_pass_arguments_on() -> None:
    for target in ("test", "unit"):
        [recipe] = re.findall(rf"^{target}:.*\n\t(.*)$", MAKEFILE, re.MULTILINE)
        assert recipe.startswith("$(PYTEST) ")
        assert recipe.endswith("$(ARGS)")


def test_each_commit_hook_runs_a_make_target_that_exists() -> None:
    configuration = read(text(".pre-commit-config.yaml"))
    [local] = configuration["repos"]
    assert local["repo"] == "local"
    for hook in local["hooks"]:
        command, target = hook["entry"].split()
        assert shutil.which(command)
        assert target in TARGETS
        assert set(hook["stages"]) <= set(configuration["default_install_hook_types"])


def test_the_workflow_runs_what_a_change_must_pass_on_each_python() -> None:
    workflow = read(text(".github/workflows/ci.yml"))
    [job] = workflow["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == PYTHONS
    *before, last = job["steps"]
    assert last["run"] == ".ci/run"
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"]) for step in before)
    assert workflow["permissions"] == {"contents": "read"}


def test_the_settings_of_the_editor_are_those_of_the_files() -> None:
    editor = ConfigParser()
    editor.read_string("[top]\n" + text(".editorconfig"))
    assert editor["*"]["max_line_length"] == str(tomllib.loads(text("pyproject.toml"))["tool"]["ruff"]["line-length"])
    for file in [*ROOT.glob("*.*"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "notification_sender").rglob("*.py")]:
        if file.is_file() and file.suffix in {".md", ".py", ".toml", ".yaml"} and (body := file.read_bytes()):
            assert body.endswith(b"\n"), file
            assert b"\r" not in body, file
