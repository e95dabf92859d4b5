"""`replay-context` renders each recorded context with both templates, and shows what differs."""

import json
import shutil
from pathlib import Path

import pytest

from notification_sender.recipes import sample
from notification_sender.render import shipped
from tests.cli.stand_in import Command


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A copy of the shipped templates."""
    return Path(shutil.copytree(shipped(), tmp_path / "templates"))


@pytest.fixture
def contexts(tmp_path: Path) -> str:
    file = tmp_path / "contexts.json"
    file.write_text(f"{json.dumps(sample('intel'))}\n" * 2)
    return str(file)


def test_the_same_templates_make_no_difference(command: Command, changed: Path, contexts: str) -> None:
    ended = command("replay-context", contexts, "--templates", str(changed))
    assert (ended.code, ended.out) == (0, "differing: 0 of 2\n")


def test_each_context_shows_the_lines_that_differ(command: Command, changed: Path, contexts: str) -> None:
    subject = changed / "intel" / "email.subject.j2"
    subject.write_text(f"Changed: {subject.read_text()}")
    ended = command("replay-context", contexts, "--templates", str(changed), "--channel", "email")
    assert ended.code == 1
    assert [line[:11] for line in ended.out.splitlines() if line.startswith("  +")] == [
        "  +++ subje",
        "  +Changed:",
    ] * 2
    assert ended.out.splitlines()[-1] == "differing: 2 of 2"
    told = json.loads(
        command("replay-context", contexts, "--templates", str(changed), "--channel", "email", "--json").out
    )
    assert (told["contexts"], [it["context"] for it in told["differing"]]) == (2, ["line 1", "line 2"])


def test_a_template_that_fails_is_a_difference_and_a_bad_file_is_refused(
    command: Command, changed: Path, contexts: str
) -> None:
    (changed / "intel" / "webhook.json.j2").write_text("{{ nothing.there }}")
    ended = command("replay-context", contexts, "--templates", str(changed))
    assert ended.code == 1
    assert "+++ fault" in ended.out
    Path(contexts).write_text("{}")
    assert command("replay-context", contexts, "--templates", str(changed)).code == 2
