"""What a command does in this process to the log is undone: whoever logs later would write by its rules."""

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    configured, handlers, level = structlog.get_config(), [*logging.root.handlers], logging.root.level
    yield
    structlog.configure(**configured)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
