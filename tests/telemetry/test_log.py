"""Lines for people and for programs: whatever is logged becomes a line, and nothing dies of it."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

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
