"""The recipe's own deadlines are in seconds of a clock that other processes could slow: here time passes by itself."""

import asyncio
from collections.abc import Callable, Mapping

from tests.context.fakes import TimelessLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"timeless": TimelessLoop}
