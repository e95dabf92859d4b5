"""What became of everything that was published: one account, asserted after every fault.

It compares what the publisher got confirmed, what the receivers took, the dead letters, the ledger and what is left in
the broker, and says of each id that is missing or double what its story was.
"""

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from redis.asyncio import Redis

from notification_sender.model.notification import notification_id
from notification_sender.model.unit import WorkUnit, decode, identity
from notification_sender.sandbox.inbox.inbox import Inbox, ReceivedWebhook
from tests.e2e.broker import Broker

Record = dict[str, Any]
LOOK = 0.1
OVER = {"delivered", "suppressed", "dead"}
MOST_STORIES = 5


@dataclass(frozen=True, slots=True)
class Owed:
    """One notification of a unit whose publish was confirmed ``at``, in seconds since the epoch."""

    unit: WorkUnit
    destination_id: str
    at: float


def owed(unit: Record, at: float) -> dict[str, Owed]:
    """What a unit that carries its own destinations owes, by notification id."""
    read = decode(orjson.dumps(unit))
    ids = (it["destination_id"] for it in unit["destinations"])
    return {notification_id(read, destination_id): Owed(read, destination_id, at) for destination_id in ids}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a fault may cost. ``duplicates`` in all, ``copies`` accepted and ``sends`` begun of one notification."""

    duplicates: int = 0
    copies: int = 1
    sends: int = 1
    remembered: bool = True
    """The ledger kept its data, so that it knows how each ended."""
    dead: Mapping[str, int] = field(default_factory=dict)
    """Dead letters by reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    owed: int
    accounted: int
    duplicates: int
    recovery: float
    """Seconds from the end of the fault to the first acceptance after it."""
    amplification: float
    """Sends for each acceptance that was owed."""
    p99: float
    """Seconds from the confirm to the first acceptance."""
    rss: float
    """MiB at most, of the largest worker that lived to the end."""

    def __str__(self) -> str:
        return (
            f"accounted for {self.accounted} of {self.owed}, duplicates {self.duplicates}, "
            f"recovery {self.recovery:.1f} s, amplification {self.amplification:.2f}, "
            f"p99 {1000 * self.p99:.0f} ms, RSS {self.rss:.0f} MiB"
        )


class Accounts:
    """``confirmed`` is filled by the publisher; ``settled`` waits for the end, ``faults`` says what is wrong then."""

    def __init__(self, *, inbox: Inbox, broker: Broker, redis_url: str, prefix: str) -> None:
        self.confirmed: dict[str, Owed] = {}
        self.letters: dict[str, list[str]] = defaultdict(list)
        """Reasons of the dead letters by notification id; they are taken out of their queue."""
        self.reasons: Counter[str] = Counter()
        self._inbox = inbox
        self._broker = broker
        self._redis_url = redis_url
        self._prefix = prefix

    @property
    def accepted(self) -> Mapping[str, int]:
        return self._inbox.accepted

    def missing(self) -> list[str]:
        return [it for it in self.confirmed if it not in self.accepted and it not in self.letters]

    async def settled(self) -> None:
        """Wait until nothing is missing and no queue holds anything. Give it a deadline of your own."""
        while self.missing() or await self._waiting():
            await self._take_letters()
            await asyncio.sleep(LOOK)
        await self._take_letters()

    async def _waiting(self) -> bool:
        names = ("units", "notifications", *(f"delay.{number:02}" for number in range(18)))
        return any((await self._broker.depths(names)).values())

    async def _take_letters(self) -> None:
        count = await self._broker.depth("dead")
        for letter in await self._broker.dead(count) if count else ():
            reason = str(letter.headers["x-reason"])
            self.reasons[reason] += 1
            for id_ in self._meant(orjson.loads(letter.body)):
                self.letters[id_].append(reason)

    def _meant(self, body: Record) -> Iterable[str]:
        """A dead unit is the end of all its notifications."""
        return [body["notification_id"]] if "notification_id" in body else owed(body, 0.0)

    async def faults(self, bounds: Bounds) -> dict[str, list[str]]:
        """By id; nothing where all is well."""
        posts = self.posts()
        faults = {id_: self._wrong(id_, posts[id_], bounds) for id_ in self.confirmed}
        faults |= {id_: ["accepted, and nobody published it"] for id_ in self.accepted if id_ not in self.confirmed}
        if bounds.remembered:
            for id_, state in (await self._states()).items():
                if state not in OVER:
                    faults[id_].append(f"the ledger says {state}")
        if self.duplicates > bounds.duplicates:
            for id_, times in self.accepted.items():
                if times > 1:
                    faults[id_].append(f"one of {self.duplicates} duplicates, {bounds.duplicates} are in the bounds")
        return {id_: wrong for id_, wrong in faults.items() if wrong}

    @property
    def duplicates(self) -> int:
        return self._inbox.duplicates

    def posts(self) -> dict[str, list[ReceivedWebhook]]:
        posts: dict[str, list[ReceivedWebhook]] = defaultdict(list)
        for post in self._inbox.webhooks:
            posts[post.notification_id].append(post)
        return posts

    def _wrong(self, id_: str, posts: list[ReceivedWebhook], bounds: Bounds) -> list[str]:
        accepted, letters = self.accepted.get(id_, 0), self.letters.get(id_, [])
        checks = {
            "neither accepted nor dead": accepted or letters,
            "accepted and dead": not (accepted and letters),
            f"dead {len(letters)} times": len(letters) <= 1,
            f"accepted {accepted} times": accepted <= bounds.copies,
            f"sent {len(posts)} times": len(posts) <= bounds.sends,
            "sent by two at once": self._inbox.behaviours[self.confirmed[id_].destination_id].peak <= 1,
            "signed badly": not any(post.problem for post in posts),
            "sent with different bytes": len({post.body for post in posts}) <= 1,
        }
        return [wrong for wrong, well in checks.items() if not well]

    async def _states(self) -> dict[str, str | None]:
        """How each ended; a unit that ended before it was rendered speaks for its notifications."""
        async with Redis.from_url(self._redis_url, decode_responses=True) as redis, redis.pipeline() as asked:
            for id_, one in self.confirmed.items():
                asked.hget(self._key(one.unit, "notification", id_), "state")
                asked.hget(self._key(one.unit, "unit", identity(one.unit)), "state")
            states = await asked.execute()
        return {id_: states[2 * n] or states[2 * n + 1] for n, id_ in enumerate(self.confirmed)}

    def _key(self, unit: WorkUnit, kind: str, id_: str) -> str:
        return f"{self._prefix}:1:{{{unit.organization_id}}}:{kind}:{id_}"

    async def story(self, id_: str) -> str:
        """All that is known of one notification."""
        lines = [f"{post.arrived:.3f} sent, answered {post.answered}" for post in self.posts()[id_]]
        lines += [f"dead letters: {times} of {reason}" for reason, times in Counter(self.letters.get(id_)).items()]
        one = self.confirmed.get(id_)
        if one is not None:
            lines.insert(0, f"{one.at:.3f} published as {one.unit.work_unit_id} for {one.destination_id}")
            async with Redis.from_url(self._redis_url, decode_responses=True) as redis:
                for kind, name in (("unit", identity(one.unit)), ("notification", id_)):
                    lines.append(f"ledger, {kind}: {await redis.hgetall(self._key(one.unit, kind, name))}")
        return "\n".join(f"    {line}" for line in lines)

    async def describe(self, faults: Mapping[str, list[str]]) -> str:
        """The faults for whoever has to find their cause."""
        lines = [f"{len(faults)} of {len(self.confirmed)} are wrong"]
        for id_, wrong in list(faults.items())[:MOST_STORIES]:
            lines.append(f"  {id_}: {', '.join(wrong)}\n{await self.story(id_)}")
        return "\n".join(lines)

    def figures(self, since: float, pids: Iterable[int]) -> Figures:
        """``since``: when the fault was over, in seconds since the epoch."""
        first: dict[str, float] = {}
        for post in self._inbox.webhooks:
            if post.accepted:
                first.setdefault(post.notification_id, post.arrived)
        waits = sorted(at - self.confirmed[id_].at for id_, at in first.items() if id_ in self.confirmed)
        return Figures(
            owed=len(self.confirmed),
            accounted=len(self.confirmed) - len(self.missing()),
            duplicates=self.duplicates,
            recovery=min((it - since for it in first.values() if it >= since), default=0.0),
            amplification=len(self._inbox.webhooks) / max(len(first), 1),
            p99=waits[math.ceil(0.99 * len(waits)) - 1] if waits else 0.0,
            rss=max(map(_peak_rss, pids), default=0.0),
        )


def _peak_rss(pid: int) -> float:
    """MiB, 0 where the system does not say."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)
