"""`snapshot` writes one file for its user alone, and says which part is missing."""

import json
from pathlib import Path

from tests.cli.stand_in import App, Command


def test_a_snapshot_is_one_file_for_its_user_alone(command: Command, app: App, tmp_path: Path) -> None:
    app.answer = {"at": "2026-03-06T08:26:00Z", "dead": [], "cache": []}
    ended = command("snapshot", "--output", str(file := tmp_path / "state.json"))
    assert (ended.code, ended.out) == (0, "")
    assert json.loads(file.read_text()) == app.answer
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(command("snapshot").out) == app.answer


def test_a_part_that_cannot_be_read_is_named_and_the_others_are_written(command: Command, app: App) -> None:
    app.answer = {"dead": {"fault": "RabbitMQ is away"}, "cache": []}
    ended = command("snapshot", "--json")
    assert (ended.code, ended.err) == (1, "dead: RabbitMQ is away\n")
    assert json.loads(ended.out)["cache"] == []
