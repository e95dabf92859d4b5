"""Makes the report of this process: what it holds, and what it did in the last seconds."""

import os
import socket
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from notification_sender.app.worker_parts import WorkerParts
from notification_sender.model.process_report import WINDOW, LoopUse, ProcessReport
from notification_sender.telemetry.processor import processor_totals, resident_bytes
from notification_sender.telemetry.recent import Recent, RecentFigures, Totals

MOST_NAMES = 10
"""Hosts, templates and files that a report names."""


SHORTEST = 0.001
"""Seconds. A step that was shorter in the whole window is left out."""


class ProcessReporter:
    """Keeps what the figures were before. ``number``: of the worker, in ``run --processes``."""

    def __init__(self, parts: WorkerParts, number: int | None = None) -> None:
        self._parts = parts
        self._stalls: dict[str, float] = {}
        self._delivered = 0.0
        self._last_delivery = 0.0
        self._round_trips: list[tuple[float, float]] = []
        self._window = RecentFigures(WINDOW, time.monotonic(), self._totals())
        host, number_of = socket.gethostname(), f"/{number}" if number else ""
        self.process = f"{host}:{os.getpid()}{number_of}"
        """The name of this process in its fleet. A process that replaces it on the same host has another one."""
        self._identity: dict[str, Any] = {
            "process": self.process,
            "host": host,
            "number": number or 0,
            "pid": os.getpid(),
            "version": version("notification-sender"),
            "configuration": parts.settings.fingerprint(),
            "started": time.time(),
        }
        parts.stalled.append(self._count_stall)

    def note_round_trip(self, milliseconds: float) -> None:
        """Redis took so long for a report."""
        now = time.monotonic()
        self._round_trips = [(at, it) for at, it in self._round_trips if now - at < WINDOW] + [(now, milliseconds)]

    def report(self, *, ready: bool) -> ProcessReport:
        """The report of now. It runs on the loop, where the figures change."""
        parts, recent = self._parts, self._window.add(time.monotonic(), self._totals())
        waiting = parts.worker.lanes.without_slot
        slots = parts.worker.slots
        outcomes = {name: round(number) for name, number in recent.group("outcomes").items()}
        if any(name.startswith("notification delivered") for name in outcomes):
            self._note_delivery()
        return ProcessReport(
            **self._identity,
            window=round(recent.seconds, 3),
            rss=resident_bytes(),
            clock_offset=round(parts.clock.apart, 3),
            last_delivery=self._last_delivery,
            ready=ready,
            slots=parts.settings.concurrency,
            slots_allowed=slots.total,
            slots_used=sum(slots.held.values()),
            slot_seconds=_rounded(recent.group("slots")),
            slots_in={step: number for step, number in parts.worker.lanes.steps.slots().items() if number},
            lanes_waiting=len(waiting),
            unsettled=parts.worker.lanes.unsettled,
            oldest_waiting=round(time.monotonic() - min(waiting), 1) if waiting else 0.0,
            arrived=round(recent.group("units").get("arrived", 0)),
            outcomes=outcomes,
            apis=parts.upstreams.uses(recent),
            held=parts.metrics.held.summary(),
            hosts_out=tuple(it["host"] for it in parts.hosts.summary())[:MOST_NAMES],
            templates_failing=tuple(parts.failing.out[:MOST_NAMES]),
            waiting_for_files=self._waiting_for_files(),
            loop=_loop_use(recent),
            redis_ms=min((it for _, it in self._round_trips), default=0.0),
            broker_connected=parts.broker.connected,
            broker_blocked=parts.broker.blocked,
        )

    def _totals(self) -> Totals:
        parts = self._parts
        monitor = parts.loop_monitor
        return {
            **{api: dict(it) for api, it in parts.upstreams.calls.totals.items()},
            "slots": parts.worker.lanes.steps.slot_seconds(),
            "units": {"arrived": parts.worker.lanes.arrived},
            "outcomes": parts.metrics.outcomes.totals(),
            "loop": {"lost": monitor.lost_seconds, "own": monitor.own_seconds},
            "stalls": dict(self._stalls),
            "processor": processor_totals(monitor.thread),
        }

    def _count_stall(self, cause: str) -> None:
        self._stalls[cause] = self._stalls.get(cause, 0) + 1

    def _note_delivery(self) -> None:
        counted = self._parts.metrics.outcomes.totals()
        delivered = sum(it for name, it in counted.items() if name.startswith("notification delivered"))
        if delivered != self._delivered:
            self._delivered, self._last_delivery = delivered, round(time.time(), 1)

    def _waiting_for_files(self) -> tuple[str, ...]:
        waiting = self._parts.recipients.notices.waiting()[-MOST_NAMES:]
        return tuple(f"{it.organization_id}/{it.destination_id}: {it.cause}" for it in waiting)


def _loop_use(recent: Recent) -> LoopUse:
    loop, processor = recent.group("loop"), recent.group("processor")
    return LoopUse(
        lost=round(loop.get("lost", 0.0), 3),
        own=round(loop.get("own", 0.0), 3),
        stalls={cause: round(number) for cause, number in recent.group("stalls").items()},
        **{name: round(processor.get(name, 0.0), 3) for name in ("ran", "waited", "cpu", "throttled")},
        turns=round(processor.get("turns", 0)),
    )


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {step: round(it, 3) for step, it in seconds.items() if it >= SHORTEST}
