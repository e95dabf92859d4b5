"""Two processes run the tests, each with its own RabbitMQ and Redis: most tests of real workers wait for most of their
time, and the others compute. A file is run by one of them.
"""

import pytest

WAIT = ("e2e", "faults", "strangers", "contract", "adapters", "sandbox")
"""Trees whose files take longest. They come first: what is long and begun last would be waited for by itself."""


class LongestFirst:
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    tree = item.nodeid.split("/")[1]
    return WAIT.index(tree) if tree in WAIT else len(WAIT)


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):  # where there is one process alone, they stay in the order of their names
        config.pluginmanager.register(LongestFirst())
