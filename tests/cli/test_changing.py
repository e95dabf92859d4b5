"""The commands that change something ask first, and name who did it."""

import sys

import pytest
import typer

from notification_sender.cli import changing


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)


def test_with_yes_nobody_is_asked() -> None:
    changing.confirm("pause?", yes=True)


def test_where_nobody_can_be_asked_yes_is_demanded() -> None:
    with pytest.raises(typer.BadParameter, match="add --yes"):
        changing.confirm("pause?", yes=False)


@pytest.mark.usefixtures("terminal")
def test_a_no_changes_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(typer, "confirm", lambda *_, **__: False)
    with pytest.raises(typer.Exit) as ended:
        changing.confirm("pause?", yes=False)
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err == "nothing was changed\n"


@pytest.mark.parametrize("text", ["0s", "soon", "20y", "500ms"])
def test_an_end_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        changing.lasting(text)


def test_the_operator_is_who_is_named_or_the_user_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    assert changing.name_of_operator("anna") == "anna"
    monkeypatch.setenv("LOGNAME", "ben")
    assert changing.name_of_operator(None).startswith("ben@")


def test_a_change_without_an_event_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    changing.warn_unannounced("")
    assert capsys.readouterr().err == ""
    changing.warn_unannounced("RabbitMQ is away")
    assert capsys.readouterr().err == "it is done, but its event was not published: RabbitMQ is away\n"
