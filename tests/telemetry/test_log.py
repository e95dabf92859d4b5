"""Lines for people and for programs: whatever is logged becomes a line, and nothing dies of it."""

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from select import PIPE_BUF
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from notification_sender.telemetry import log


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Whoever logs after these tests would write to a stream that is closed."""
    configured, handlers = structlog.get_config(), [*logging.root.handlers]
    yield
    structlog.configure(**configured)
    logging.root.handlers[:] = handlers


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("name", ["stack", "exception", "error", "level", "timestamp", "logger", "cause"])
@pytest.mark.parametrize("value", ["a\nb", ["a.py:1:f", "b.py:2:g"], ("a",), {"a": 1}, 7, 1.5, None, True, b"\xff"])
def test_a_field_of_any_name_and_value_becomes_a_line(
    form: str, name: str, value: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    log.configure(form=form, level="info")
    structlog.get_logger().warning("loop.stalled", **{name: value})
    said = capfd.readouterr().err
    assert "loop.stalled" in said
    if form == "json":
        assert json.loads(said)["event"] == "loop.stalled"


def test_a_stack_is_told_to_people_a_frame_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    log.to_people()
    structlog.get_logger().warning("loop.stalled", ms=300, stack=["a.py:1:f", "b.py:2:g"])
    first, *rest = capfd.readouterr().err.splitlines()
    assert "ms=300" in first
    assert rest == ["    a.py:1:f", "    b.py:2:g"]


async def test_the_lines_of_one_turn_are_one_write_and_a_warning_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A write for each line takes a tenth of an attempt; a pod that dies must have said why."""
    written: list[bytes] = []
    stream = SimpleNamespace(buffer=SimpleNamespace(write=written.append, flush=lambda: None), isatty=lambda: False)
    monkeypatch.setattr(log.sys, "stderr", stream)
    log.configure(form="json", level="info")
    first, second = structlog.get_logger(), structlog.get_logger()
    first.info("a")
    second.info("b")
    assert not written
    await asyncio.sleep(0)
    second.info("c")
    first.warning("d")
    assert [[json.loads(line)["event"] for line in text.splitlines()] for text in written] == [["a", "b"], ["c", "d"]]


async def test_no_write_is_larger_than_a_pipe_keeps_together(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    stream = SimpleNamespace(buffer=SimpleNamespace(write=written.append, flush=lambda: None), isatty=lambda: False)
    monkeypatch.setattr(log.sys, "stderr", stream)
    log.configure(form="json", level="info")
    for _ in range(20):
        structlog.get_logger().info("a", text="x" * 500)
    await asyncio.sleep(0)
    assert max(map(len, written)) <= PIPE_BUF
    assert b"".join(written).count(b"\n") == 20


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_every_message_logs_reads_as_what_structlog_writes(form: str, capfd: pytest.CaptureFixture[str]) -> None:
    log.configure(form=form, level="info")
    log.write("info", "notification.delivered", {"attempt": 1, "cause": {"api": "aaa"}})
    structlog.get_logger().info("notification.delivered", attempt=1, cause={"api": "aaa"})
    ours, theirs = capfd.readouterr().err.splitlines()
    if form == "json":
        assert json.loads(ours) | {"timestamp": ""} == json.loads(theirs) | {"timestamp": ""}
    else:
        assert ours[30:] == theirs[30:]


def test_what_every_message_logs_has_a_level_too(capfd: pytest.CaptureFixture[str]) -> None:
    log.configure(form="json", level="warning")
    log.write("info", "notification.delivered", {})
    log.write("warning", "notification.dead", {})
    assert json.loads(capfd.readouterr().err)["event"] == "notification.dead"


def test_what_every_message_logs_is_captured_by_a_test() -> None:
    log.configure(form="json", level="info")
    with capture_logs() as captured:
        log.write("info", "notification.delivered", {"attempt": 1})
    assert captured == [{"event": "notification.delivered", "log_level": "info", "attempt": 1}]


@pytest.mark.parametrize(("process", "facts"), [(None, {}), (2, {"process": 2})])
def test_where_several_processes_write_to_one_log_each_line_has_the_number(
    process: int | None, facts: dict[str, int], capfd: pytest.CaptureFixture[str]
) -> None:
    log.configure(form="json", level="info", process=process)
    structlog.get_logger().info("worker.ready")
    line = json.loads(capfd.readouterr().err)
    assert {name: line[name] for name in line.keys() & {"process"}} == facts
    log.write("info", "notification.delivered", {})
    line = json.loads(capfd.readouterr().err)
    assert {name: line[name] for name in line.keys() & {"process"}} == facts
    log.configure(form="text", level="info", process=process)
    structlog.get_logger().info("worker.ready")
    assert ("process=2" in capfd.readouterr().err) == (process == 2)


async def test_lines_of_another_thread_come_after_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog says that the loop is held: what was logged before it says by what."""
    written: list[bytes] = []
    stream = SimpleNamespace(buffer=SimpleNamespace(write=written.append, flush=lambda: None), isatty=lambda: False)
    monkeypatch.setattr(log.sys, "stderr", stream)
    log.configure(form="json", level="info")
    structlog.get_logger().info("first")
    watchdog = threading.Thread(target=lambda: structlog.get_logger().info("second"))
    watchdog.start()
    watchdog.join()
    assert [json.loads(line)["event"] for line in b"".join(written).splitlines()] == ["first", "second"]
