"""Runs one seed: the same seed, the same history."""

from itertools import count
from unittest.mock import patch

import structlog

from notification_sender.adapters import messages
from tests.simulation.stores import Plain
from tests.simulation.world import MakeLedger, World

SILENT = structlog.make_filtering_bound_logger(50)


def played(seed: int, make_ledger: MakeLedger = Plain) -> World:
    tokens = count()
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=SILENT)
    try:
        with patch.object(messages.secrets, "token_hex", lambda _: f"t{next(tokens)}"):
            return World(seed, make_ledger).run()
    finally:
        structlog.configure(wrapper_class=before)
