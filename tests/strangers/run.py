"""One run: two real workers, good units at an even pace, first alone and then with odd ones among them."""

import asyncio
import re
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aio_pika
import orjson

from tests.e2e.fleet import Worker
from tests.faults.accounting import owed
from tests.faults.rig import Rig
from tests.patience import patience, patient
from tests.strangers import wire
from tests.strangers.draft import Draft
from tests.strangers.ends import Ends
from tests.strangers.stage import Stage

Record = dict[str, Any]
WARM = 40
"""Units, to see what the machine can do."""
SHARE, FASTEST = 1 / 4, 40.0
"""Of what the machine can do, taken by the good units: as much again is odd. Not more than so many a second."""
RATIO, SLACK = 1.5, 3.0
"""The good ones, and the slowest of them, take so many times as long as without the odd ones at most, and so many
seconds: a run may be short."""
GOOD_WITHIN, ODD_WITHIN = 30.0, 45.0
STILL = 4.0
"""Seconds in which no case changed: what is put off stays so."""
STALL = 500.0
"""ms."""
LOOK = 0.1
LAST_LOOKS = 200
"""Where something changes all the time: what is put off may be on its way between two queues at any one of them."""
COUNTED = re.compile(r'\{"([^"]+)",\s*(\d+),\s*(\d+)\}')
"""A queue in what RabbitMQ says that it holds: its name, ready, handed out."""
LOST = ("broker.lost", "broker.returned", "redis.lost", "redis.returned")


@dataclass(slots=True)
class Report:
    """What came of it. ``alone``, ``among``: seconds from the first publish of a good unit to the last acceptance."""

    seed: int
    count: int
    alone: float = 0.0
    among: float = 0.0
    medians: tuple[float, float] = (0.0, 0.0)
    slowest: tuple[float, float] = (0.0, 0.0)
    """Seconds from the confirm to the acceptance of a good one: alone, and among odd ones."""
    kinds: dict[str, dict[str, int]] = field(default_factory=dict)
    stalls: list[str] = field(default_factory=list)
    reconnects: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return self.among / self.alone if self.alone else 0.0

    def describe(self) -> str:
        head = f"seed {self.seed}, {self.count} cases: {len(self.faults)} faults"
        again = f"one of them again: python -m tests.strangers --seed {self.seed} --count {self.count} --only CASE"
        return "\n".join((head, *(f"  {it}" for it in self.faults), again))


class Run:
    """``odd`` among as many good ones as ``count`` says."""

    def __init__(self, rig: Rig, stage: Stage, odd: Sequence[Draft], report: Report) -> None:
        self._rig = rig
        self._stage = stage
        self._odd = odd
        self._report = report
        self._queue = f"{rig.prefix}.units"

    async def play(self) -> Report:
        report, count = self._report, self._report.count
        rounds = [self._rig.units(count) for _ in range(2)]
        for one, other in zip(*rounds, strict=True):
            # The same organizations and incidents in the same order.
            other |= {name: value for name, value in one.items() if name not in {"work_unit_id", "destinations"}}
        for odd in self._odd:
            self._stage.set(odd)
        await self._stage.store(self._odd)
        async with self._rig.workers(2, **self._stage.variables) as workers:
            ends = Ends(self._odd, workers)
            pace = await self._pace()
            report.alone, alone = await self._round(rounds[0], pace)
            report.among, among = await self._round(rounds[1], pace, ends)
            report.medians = (statistics.median(alone), statistics.median(among))
            report.slowest = (max(alone), max(among))
            report.faults += await self._settle(ends)
            report.faults += self._judge(ends, workers)
        report.kinds = ends.by_kind()
        return report

    async def _pace(self) -> float:
        """Good units a second, which the machine of this moment can bear beside odd ones."""
        for times in (1, 2):  # the first opens connections and fills caches
            begun = time.monotonic()
            await self._rig.publish(self._rig.units(WARM))
            async with patience(GOOD_WITHIN):
                await self._rig.inbox.accepts(times * WARM)
        return min(FASTEST, SHARE * WARM / (time.monotonic() - begun))

    async def _round(self, units: Sequence[Record], pace: float, ends: Ends | None = None) -> tuple[float, list[float]]:
        """Until the good ones are delivered, or are given up: seconds for all, and for each."""
        ids = [next(iter(owed(unit, 0.0))) for unit in units]
        begun = time.time()
        async with asyncio.TaskGroup() as group:  # noqa: TID251 - has no deadline after it
            if ends is not None:
                group.create_task(self._publish_odd(ends, len(units) / pace))
            await self._publish_good(units, pace)
        try:
            async with patience(GOOD_WITHIN):
                while not all(self._rig.inbox.accepted.get(id_) for id_ in ids):
                    await self._rig.inbox.receives(len(self._rig.inbox.webhooks) + 1)
        except TimeoutError:
            missing = sum(not self._rig.inbox.accepted.get(id_) for id_ in ids)
            self._report.faults.append(f"{missing} of {len(ids)} good ones are not delivered{_in_hand(ends)}")
        came = {it.notification_id: it.arrived for it in reversed(self._rig.inbox.webhooks) if it.accepted}
        arrived = {id_: came.get(id_, time.time()) for id_ in ids}
        waits = [at - self._rig.accounts.confirmed[id_].at for id_, at in arrived.items()]
        return max(arrived.values()) - begun, waits

    async def _publish_good(self, units: Sequence[Record], pace: float) -> None:
        async with await aio_pika.connect(self._rig.rabbitmq.url) as connection:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            begun = time.monotonic()
            for place, unit in enumerate(units):
                await asyncio.sleep(begun + place / pace - time.monotonic())
                message = aio_pika.Message(orjson.dumps(unit), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                await channel.default_exchange.publish(message, self._queue)
                self._rig.accounts.confirmed |= owed(unit, time.time())

    async def _publish_odd(self, ends: Ends, seconds: float) -> None:
        """Evenly, each on a connection of its own."""
        begun = time.monotonic()
        for place, case in enumerate(ends.cases.values()):
            await asyncio.sleep(begun + place * seconds / len(ends.cases) - time.monotonic())
            odd, url = case.odd, self._rig.rabbitmq.url
            case.taken = await wire.publish(url, self._queue, odd.encoded, odd.body, copies=odd.copies)
            case.published = True

    async def _settle(self, ends: Ends) -> list[str]:
        """Wait until every odd one has its end; what is put off is waited for as long as anything changes."""
        loop = asyncio.get_running_loop()
        until, changed, before = loop.time() + patient(ODD_WITHIN), loop.time(), ""
        while loop.time() < until:
            await self._look(ends)
            now = f"{[(it.end, sorted(it.notifications.items())) for it in ends.cases.values()]}"
            changed, before = (loop.time(), now) if now != before else (changed, before)
            still = loop.time() > changed + patient(STILL)
            over = not ends.pending() and (still or not ends.put_off)
            if over and sum((await self._held(ends)).values()) == ends.put_off:
                return []
            await asyncio.sleep(LOOK)
        for _ in range(LAST_LOOKS):
            held = await self._held(ends)
            if sum(held.values()) == ends.put_off:
                return []
            await asyncio.sleep(LOOK)
        waiting = {f"{number} {it.odd.kind}": it.open for number, it in ends.cases.items() if it.open}
        return [f"the broker holds {held}, and {ends.put_off} are put off: {waiting}"]

    async def _held(self, ends: Ends) -> dict[str, int]:
        """Messages that each queue holds, ready or handed out, when everything that was said is read."""
        said = await asyncio.to_thread(self._rig.rabbitmq.held, self._rig.prefix)
        await self._look(ends)
        queues = {name: int(ready) + int(handed_out) for name, ready, handed_out in COUNTED.findall(said)}
        return {name: count for name, count in queues.items() if not name.endswith(".dead")}

    async def _look(self, ends: Ends) -> None:
        if count := await self._rig.broker.depth("dead"):
            for letter in await self._rig.broker.dead(count):
                ends.bury(letter.body, str(letter.headers["x-reason"]), str(letter.headers["x-stage"]))
        ends.read()

    def _judge(self, ends: Ends, workers: Sequence[Worker]) -> list[str]:
        report = self._report
        faults = ends.faults(self._stage.accepted, self._stage.asked)
        good = self._rig.accounts.confirmed
        twice = [id_ for id_, times in self._rig.inbox.accepted.items() if id_ in good and times > 1]
        faults += [f"the good {id_} was delivered more than once" for id_ in twice]
        taken = {"all good ones": (report.alone, report.among), "the slowest good one": report.slowest}
        late = {what: it for what, it in taken.items() if it[1] > RATIO * it[0] + patient(SLACK)}
        faults += [
            f"{what} took {among:.1f} s, without odd ones {alone:.1f} s" for what, (alone, among) in late.items()
        ]
        report.stalls = [it for worker in workers for it in stalls(worker)]
        report.reconnects = [it for worker in workers for it in reconnects(worker)]
        faults += [f"stalled: {it}{_in_hand(ends)}" for it in report.stalls]
        faults += [f"reconnected: {it}" for it in report.reconnects]
        dead = [worker.process.returncode for worker in workers if worker.process.returncode is not None]
        return faults + [f"a worker ended with {code}" for code in dead]


def _in_hand(ends: Ends | None) -> str:
    """The kinds that have no end yet."""
    if ends is None:
        return ""
    ends.read()
    kinds = [f"{number} {it.odd.kind}" for number, it in ends.cases.items() if it.published and it.end is None]
    return f"; in hand: {', '.join(kinds)}" if kinds else ""


def stalls(worker: Worker) -> list[str]:
    """What held the loop for too long and was of the worker's own making."""
    said = [it for it in worker.events if it["event"] == "loop.stalled"]
    ours = [it for it in said if it["ms"] > STALL and it["cause"] != "machine"]
    return [f"{it['timestamp']}: {it['ms']:.0f} ms, {it['cause']}" for it in ours]


def reconnects(worker: Worker) -> list[str]:
    lost = Counter(it["event"] for it in worker.events if it["event"] in LOST)
    opened = Counter(it.get("connection", "store") for it in worker.events if it["event"].endswith(".connected"))
    again = {f"{name} opened": times for name, times in opened.items() if times > 1}
    return [f"{name} {times} times" for name, times in (lost | again).items()]
