"""The image is what its recipe says, down to the last byte: nothing in it is whatever was newest on that day."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
INSTRUCTIONS = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", DOCKERFILE)).splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def of(word: str) -> list[str]:
    """What follows an instruction, each time."""
    return [line.removeprefix(f"{word} ") for line in INSTRUCTIONS if line.startswith(f"{word} ")]


def locked(file: str) -> dict[str, str]:
    """Versions with their hashes, by package."""
    blocks = re.split(r"(?m)^(?=\S)", (ROOT / "requirements" / file).read_text())
    return {block.partition("==")[0]: block.partition("==")[2] for block in blocks if block}


def test_every_stage_begins_with_the_one_base_by_its_digest_and_its_tag_is_told() -> None:
    assert {line.split()[0] for line in of("FROM")} == {"${BASE}"}
    [base] = of("ARG")
    assert re.fullmatch(r"BASE=python@sha256:[0-9a-f]{64}", base)
    assert re.search(r"(?m)^# python:\d+\.\d+\.\d+-slim\b.*\nARG BASE=", DOCKERFILE)


def test_the_python_of_the_image_is_one_that_is_tested() -> None:
    [tag] = re.findall(r"(?m)^# python:(\d+\.\d+)\.\d+-slim", DOCKERFILE)
    [tested] = re.findall(r"(?m)^for version in (.*); do$", (ROOT / ".ci" / "run").read_text())
    assert tag in tested.split()
    assert PROJECT["project"]["requires-python"] == f">={min(tested.split())}"


def test_whatever_is_installed_is_locked_by_hash_or_built_by_what_is() -> None:
    calls = [call for line in of("RUN") for call in line.split("&&") if "/pip " in call]
    assert len(calls) == 5
    for call in calls:
        words = set(call.split())
        ours = {"--no-deps", "--no-build-isolation"} <= words or {"--no-deps", "--no-index"} <= words
        assert ours or "--require-hashes" in words, call


@pytest.mark.parametrize("file", ["runtime.lock", "build.lock", "demo.lock", "otel.lock", "development.lock"])
def test_every_line_of_a_lock_has_a_hash(file: str) -> None:
    assert all("--hash=sha256:" in rest for rest in locked(file).values())


def test_the_build_backend_is_locked_as_it_is_tested() -> None:
    build, development = locked("build.lock"), locked("development.lock")
    for wanted in PROJECT["build-system"]["requires"]:
        assert re.split(r"[^a-z0-9-]", wanted)[0] in build
    assert build == {name: development[name] for name in build}


def test_the_sandbox_is_the_worker_and_what_the_extra_needs_as_they_are_tested() -> None:
    runtime, demo, development = locked("runtime.lock"), locked("demo.lock"), locked("development.lock")
    wanted = {re.split(r"[^a-z0-9-]", it)[0] for it in PROJECT["project"]["optional-dependencies"]["demo"]}
    assert runtime.items() <= demo.items() <= development.items()
    assert wanted <= demo.keys()
    assert "${BASE} AS sandbox" in of("FROM")


def test_what_is_built_unless_another_is_named_is_the_worker() -> None:
    assert of("FROM")[-1] == "${BASE}"
    assert of("COPY")[-1].startswith("--from=build ")


def test_it_runs_as_nobody_in_particular_and_hears_signals_itself() -> None:
    _, final = DOCKERFILE.rsplit("FROM ", 1)
    assert re.search(r"(?m)^USER [1-9]\d*:[1-9]\d*$", final)
    assert re.search(r'(?m)^ENTRYPOINT \["notification-sender"\]$', final)
    assert "/opt/build" not in final
