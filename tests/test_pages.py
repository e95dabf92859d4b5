"""The commands of the pages exist with their options, and the tutorial's template says what the page shows."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

import click
import pytest
import typer

from notification_sender.channels.email import Email
from notification_sender.channels.webhook import Webhook
from notification_sender.cli.program import program
from notification_sender.recipes import sample
from notification_sender.render import Renderer, shipped
from notification_sender.sandbox import sandbox

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs" / "tutorial" / "first-delivery.md"
PAGES = [ROOT / "README.md", TUTORIAL, *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
BLOCK = re.compile(r"^ *```console\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^`([\w./]+)`\n\n```jinja\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAM = "notification-sender"
VARIABLE = re.compile(r"[A-Z_]+=")
ENDS = {"&", ">", "2>&1", "|"}


def typed() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Page and words of every command of ours; not what the shell does with it."""
    for page in PAGES:
        for block in BLOCK.findall(page.read_text()):
            for line in re.findall(r"^ *\$ (.*)$", block, re.MULTILINE):
                words = [*dropwhile(VARIABLE.match, shlex.split(line, comments=True))]
                if words[:1] == [PROGRAM]:
                    yield page.name, tuple(takewhile(lambda it: it not in ENDS, words[1:]))


@pytest.mark.parametrize(("page", "words"), sorted(set(typed())))
def test_a_command_of_a_page_exists_with_its_options(page: str, words: tuple[str, ...]) -> None:
    command: Any = typer.main.get_command(program)
    left = list(words)
    while hasattr(command, "commands"):
        command = command.commands[left.pop(0)]
    options, rest, _ = command.make_parser(click.Context(command)).parse_args(args=left)
    assert rest == [], f"{page}: {options}"


def test_the_pages_that_lead_somebody_in_have_commands() -> None:
    assert {"README.md", TUTORIAL.name, "repair.md"} <= {page for page, _ in typed()}


def test_the_template_of_the_tutorial_says_what_the_page_shows(tmp_path: Path) -> None:
    page = TUTORIAL.read_text()
    [(name, text)] = FILE.findall(page)
    shutil.copytree(shipped(), tmp_path / "templates.mine")
    (tmp_path / name).write_text(text)
    parts = {it.name: it.parts for it in (Webhook, Email)}
    renderer = Renderer(folder=tmp_path / "templates.mine", channels=parts)
    rendered = json.loads(renderer.render("intel", "webhook", sample("intel"))["json"])
    assert rendered == json.loads(page.partition("```json\n")[2].partition("```")[0])


def test_the_names_of_the_tutorial_are_those_of_the_sandbox() -> None:
    page, world = TUTORIAL.read_text(), sandbox.World(webhook_url=lambda name: f"http://x/{name}")
    [name] = re.findall(r"/behaviours/(\S+)", page)
    assert name in {it["destination_id"] for it in world.destinations.values()}
    assert f"--batch {world.work_units(1)[0]['batch']['id']}\n" in page
