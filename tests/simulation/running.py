"""Runs one seed: the same seed, the same history."""

from itertools import count
from unittest.mock import patch

import structlog

from notification_sender.adapters import messages
from notification_sender.worker import readiness, units
from tests.simulation.stores import Plain
from tests.simulation.world import MakeLedger, World

LONG_PAUSE = 5.0
SILENT = structlog.make_filtering_bound_logger(50)


def played(seed: int, make_ledger: MakeLedger = Plain) -> World:
    tokens = count()
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=SILENT)
    try:
        with patch.object(messages.secrets, "token_hex", lambda _: f"t{next(tokens)}"):
            world = World(seed, make_ledger)
            # Of very long outages only the end matters, and of large units only that some of it is handed on.
            pause = LONG_PAUSE if world.faults.patient else readiness.PAUSE
            with patch.object(readiness, "PAUSE", pause), patch.object(units, "OWN", world.own):
                return world.run()
    finally:
        structlog.configure(wrapper_class=before)
