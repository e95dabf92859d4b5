"""One trial: stretch after stretch on one scene, each caused, judged by ``why`` alone, and ended."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from bench.diagnose.faults import Fault
from bench.diagnose.judge import HEALTHY, NO_ANSWER, Expected, Judgement, Verdict, judge
from bench.diagnose.scene import Scene
from bench.processes import FailedError


@dataclass(frozen=True, slots=True)
class Lengths:
    """Seconds of a stretch, and seconds after it until everything is as before; repeats of a disturbed stretch."""

    seconds: float = 60.0
    recovers: float = 120.0
    repeats: int = 2


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was caused (None: nothing), what was said, and how it ended."""

    fault: Fault | None
    verdict: Verdict | None
    judgement: Judgement
    printed: str
    waiting: float
    """Messages in the queues and in hand when it was judged."""
    recovery: float = 0.0
    """Seconds from its end until everything was as before."""
    recovered: str = ""
    """How."""
    starved: bool = False
    """Whether a worker waited for a processor for longer than it had one, and for a quarter of the time."""
    counts: bool = True
    """False: it was disturbed, and repeated."""

    @property
    def disturbed(self) -> bool:
        """Others took the processors: to blame them is right then, whatever was caused here."""
        return self.starved and self.caused != "cpu"

    @property
    def name(self) -> str:
        return self.fault.name if self.fault else "healthy"

    @property
    def caused(self) -> str | None:
        return self.fault.expected.limit if self.fault else None


async def trial(scene: Scene, plan: Sequence[Fault | None], lengths: Lengths) -> AsyncIterator[Stretch]:
    """Each stretch of the plan; one that was disturbed is followed by its repetition, so often at most."""
    await scene.recovered(lengths.recovers)
    for fault in plan:
        for left in range(lengths.repeats, -1, -1):
            stretch = await _stretch(scene, fault, lengths)
            repeated = stretch.disturbed and left > 0
            yield replace(stretch, counts=not repeated)
            if not repeated:
                break


async def _stretch(scene: Scene, fault: Fault | None, lengths: Lengths) -> Stretch:
    try:
        async with _caused(scene, fault) as expected:
            seen = await _seen(scene, fault, expected, lengths.seconds)
    except FailedError as failed:
        seen = _not_caused(fault, failed)
    ended = time.monotonic()
    how = await scene.recovered(lengths.recovers)
    return replace(seen, recovery=time.monotonic() - ended, recovered=how)


async def _seen(scene: Scene, fault: Fault | None, expected: Expected | None, seconds: float) -> Stretch:
    """While the fault lasts."""
    before = scene.processors()
    await asyncio.sleep(seconds)
    verdict, printed = await scene.why()
    now = scene.processors()
    return Stretch(
        fault=fault,
        verdict=verdict,
        judgement=judge(expected, verdict),
        printed=printed,
        waiting=await scene.waiting(),
        starved=any(it.starved_since(then, seconds) for it, then in zip(now, before, strict=True)),
    )


def _not_caused(fault: Fault | None, failed: FailedError) -> Stretch:
    judgement = Judgement(NO_ANSWER, ("it could not be caused",))
    return Stretch(fault=fault, verdict=None, judgement=judgement, printed=str(failed), waiting=0)


@asynccontextmanager
async def _caused(scene: Scene, fault: Fault | None) -> AsyncIterator[Expected | None]:
    if fault is None:
        yield None
        return
    async with fault.cause(scene) as subjects:
        yield replace(fault.expected, subjects=tuple(subjects) or fault.expected.subjects)


@dataclass(frozen=True, slots=True)
class Score:
    """``needed``: of the faults. A trial holds if so many are named rightly and nothing else went wrong."""

    faults: int
    right: int
    healthy: int
    false_alarms: int
    stale_advice: int
    disturbed: int
    besides: Sequence[str]
    """Runs besides the faults that were not named rightly."""

    @property
    def needed(self) -> int:
        """One in 24 may be wrong."""
        return self.faults - self.faults // 24

    @property
    def holds(self) -> bool:
        return self.right >= self.needed and not (self.false_alarms or self.stale_advice or self.besides)

    @property
    def lines(self) -> Iterator[str]:
        if self.faults:
            yield f"named rightly: {self.right} of {self.faults} faults (needed: {self.needed})"
        yield f"false alarms: {self.false_alarms} in {self.healthy} healthy stretches (allowed: 0)"
        yield f"advice although stale: {self.stale_advice} (allowed: 0)"
        if self.disturbed:
            yield f"repeated because others took the processors: {self.disturbed}"
        for name in self.besides:
            yield f"not named rightly: {name}"


def score(stretches: Sequence[Stretch], besides: Sequence[Fault]) -> Score:
    whole = [it for it in stretches if it.counts]
    counted = [it for it in whole if it.fault not in besides]
    faults = [it for it in counted if it.fault]
    return Score(
        faults=len(faults),
        right=sum(it.judgement.right for it in faults),
        healthy=len(counted) - len(faults),
        false_alarms=sum(it.judgement.false_alarm for it in counted),
        stale_advice=sum(it.judgement.stale_advice for it in stretches),
        disturbed=len(stretches) - len(whole),
        besides=[it.name for it in whole if it.fault in besides and not it.judgement.right],
    )


def line(number: int, stretch: Stretch) -> str:
    """For the terminal: one for each stretch."""
    said = stretch.judgement
    mark = "right" if said.right else "WRONG"
    wanted = stretch.caused or HEALTHY
    after = f"{stretch.recovered} after {stretch.recovery:.0f} s"
    why = f" ({'; '.join(said.faults)})" if said.faults else ""
    mark = mark if stretch.counts else "disturbed, to be repeated"
    alarm = " ADVICE ALTHOUGH STALE" if said.stale_advice else ""
    return (
        f"{number:>3} {stretch.name:<44}{wanted:<13}{said.said:<13}{mark}{why}{alarm}, "
        f"waiting {stretch.waiting:g}, {after}{', STARVED' if stretch.starved else ''}"
    )
