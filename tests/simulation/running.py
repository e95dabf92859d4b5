"""Runs seeds: the same seed, the same history, in whichever process."""

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import count
from types import SimpleNamespace
from unittest.mock import patch

import structlog

from notification_sender.adapters.rabbitmq import headers
from notification_sender.worker import retry_unready, unit_work
from tests.simulation.invariants import accepted_again, story, wrong
from tests.simulation.stores import Plain
from tests.simulation.world import MakeLedger, World

LONG_PAUSE = 5.0
AT_ONCE = 50
"""Seeds that one process takes at a time."""

SILENT = structlog.make_filtering_bound_logger(50)


def played(seed: int, make_ledger: MakeLedger = Plain) -> World:
    tokens = count()
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=SILENT)
    try:
        with patch.object(headers, "os", SimpleNamespace(urandom=lambda _: next(tokens).to_bytes(8))):
            world = World(seed, make_ledger)
            # Of very long outages only the end matters, and of large units only that some of it is handed on.
            pause = LONG_PAUSE if world.faults.patient else retry_unready.PAUSE
            with patch.object(retry_unready, "PAUSE", pause), patch.object(unit_work, "OWN", world.own):
                return world.run()
    finally:
        structlog.configure(wrapper_class=before)


@dataclass(frozen=True, slots=True)
class Played:
    """What came of some seeds. ``again``: accepted more than once, by why that may be."""

    seeds: int
    stories: Sequence[str]
    again: Counter[str]


def judged(seeds: range, make_ledger: MakeLedger = Plain) -> Played:
    """With the stories of those that went wrong."""
    stories, again = [], Counter[str]()
    for seed in seeds:
        world = played(seed, make_ledger)
        again += accepted_again(world)
        if faults := wrong(world):
            stories.append(story(world, faults))
    return Played(len(seeds), stories, again)


def all_played(seeds: range) -> Iterator[Played]:
    """On every core, a few at a time, in order."""
    parts = [seeds[first : first + AT_ONCE] for first in range(0, len(seeds), AT_ONCE)]
    # Forked, it would inherit the locks of whatever threads there are.
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as processes:
        try:
            yield from processes.map(judged, parts)
        finally:
            processes.shutdown(cancel_futures=True)
