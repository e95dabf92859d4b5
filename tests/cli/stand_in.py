"""What commands call, and how they ended."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from notification_sender.app.changes import Change
from notification_sender.app.dead_letters import LetterFilter, LetterGroup, unmatched
from notification_sender.app.dead_replay import ReplayResult
from notification_sender.app.preview import review_units
from notification_sender.app.throttles import channels
from notification_sender.app.waiting import WaitingFilter
from notification_sender.app.withheld import Resent


@dataclass(frozen=True)
class CheckResult:
    name: str
    ok: bool
    detail: str
    warning: bool = False


@dataclass
class App:
    """Stands for the process: says what it is told to say, or raises it, and remembers what it was asked."""

    answer: Any = None
    asked: list[Any] = field(default_factory=list)
    CheckResult: type[CheckResult] = CheckResult
    LetterFilter: type[LetterFilter] = LetterFilter
    ReplayResult: type[ReplayResult] = ReplayResult
    Change: type[Change] = Change
    WaitingFilter: type[WaitingFilter] = WaitingFilter
    unannounced: str = ""
    resent: Resent = field(default_factory=Resent)
    dropped: LetterFilter | None = None
    every: list[LetterGroup] = field(default_factory=list)
    """All dead letters, where ``answer`` has those that match."""
    confirmed: int | None = None
    announced: list[Change] = field(default_factory=list)

    def run(self, _settings: object) -> Any:
        return self._say("run")

    def preview(self, *question: object) -> Any:
        return self._say(*question)

    async def run_checks(self, _settings: object, organizations: Any = ()) -> Any:
        return self._say("probe", *organizations)

    def fleet_checks(self, _settings: object, **how: object) -> Any:
        self.asked.append(how)
        return [CheckResult("fleet", ok=True, detail="2 pods")]

    async def declare(self, _settings: object) -> Any:
        return self._say("declare")

    async def publish(
        self, _settings: object, bodies: list[bytes], one_more: Callable[[], None], _trace: str | None
    ) -> Any:
        """Said, or raised, once ``confirmed`` of them are in the queue."""
        for _ in bodies[: self.confirmed]:
            one_more()
        return self._say(bodies)

    async def review_units(self, settings: Any, bodies: Any) -> Any:
        return await review_units(settings, bodies)

    async def audit(self, _settings: object, batch: str, organization: str | None) -> Any:
        return self._say(batch, organization)

    async def explain(self, _settings: object, *question: object) -> Any:
        return self._say(*question)

    async def cache_use(self, _settings: object, organization: str | None) -> Any:
        return self._say(organization)

    async def purge(self, _settings: object, organization: str) -> Any:
        return self._say(organization)

    async def organizations(self, _settings: object, organization: str | None) -> Any:
        return self._say(organization)

    async def erase(self, _settings: object, *question: object) -> Any:
        return self._say(*question)

    async def audit_time(self, _settings: object, since: float, until: float, organization: str | None) -> Any:
        return self._say(since, until, organization)

    async def audit_expected(self, _settings: object, units: Any) -> Any:
        return self._say([it.work_unit_id for it in units])

    async def canary(self, _settings: object, *question: object, **how: object) -> Any:
        return self._say(*question, how)

    async def objective_states(self, _settings: object) -> Any:
        return self._say("objectives")

    async def snapshot(self, _settings: object) -> Any:
        return self._say("snapshot")

    async def list_dead(self, _settings: object, wanted: LetterFilter) -> Any:
        return self.every if wanted == LetterFilter() and self.every else self._say(wanted)

    unmatched = staticmethod(unmatched)

    async def show_dead(self, _settings: object, wanted: LetterFilter, **how: object) -> Any:
        return self._say(wanted, how)

    async def replay(
        self, _settings: object, wanted: LetterFilter, counted: ReplayResult, *, step: Callable[[], None], **how: object
    ) -> None:
        """Counts what ``answer`` says, a step for each letter."""
        self._count(counted, step, self._say(wanted, how))

    async def drop(
        self, _settings: object, wanted: LetterFilter, counted: ReplayResult, *, most: int, step: Callable[[], None]
    ) -> None:
        assert most
        self._count(counted, step, ReplayResult(matched=2, dropped=2, in_queue=2))
        self.dropped = wanted

    async def announce(self, _settings: object, change: Change) -> str:
        self.announced.append(change)
        return self.unannounced

    def _count(self, counted: ReplayResult, step: Callable[[], None], answer: ReplayResult) -> None:
        for name in ReplayResult.__dataclass_fields__:
            setattr(counted, name, getattr(answer, name))
        for _ in range(counted.matched):
            step()

    async def resend(
        self, _settings: object, organization: str, destination: str, *, dry_run: bool, step: Callable[[], None]
    ) -> Any:
        step()
        self.asked.append((organization, destination, dry_run))
        return self.resent

    async def announce_resent(self, _settings: object, *about: str, by: str, count: int) -> str:
        self.announced.append(Change(change="resent", by=by, subject="/".join(about), count=count))
        return self.unannounced

    async def enable(self, _settings: object, organization: str, destination: str, **_: object) -> Any:
        return self._say(organization, destination)

    def channels(self, named: str | None) -> list[str]:
        return channels(named)

    async def paused(self, _settings: object) -> Any:
        return self._say("paused")

    async def pause(self, _settings: object, scope: object, **how: object) -> Any:
        return self._say(scope, how)

    async def resume(self, _settings: object, scope: object, *, step: object, **how: object) -> Any:
        assert step
        return self._say(scope, how)

    async def retry(self, _settings: object, wanted: object, *, step: object, **how: object) -> Any:
        assert step
        return self._say(wanted, how)

    async def show_destination(self, _settings: object, *question: object) -> Any:
        return self._say(*question)

    async def disable(self, _settings: object, *question: object, **how: object) -> Any:
        return self._say(*question, how)

    async def troubled(self, _settings: object, organization: str | None) -> Any:
        return self._say(organization)

    async def fleet_view(self, _settings: object) -> Any:
        return self._say("fleet view")

    async def suppress(self, _settings: object, *question: object, **how: object) -> Any:
        return self._say(*question, how)

    async def unsuppress(self, _settings: object, *question: object) -> Any:
        return self._say(*question)

    async def suppressed(self, _settings: object, organization: str) -> Any:
        return self._say(organization)

    def _say(self, *question: object) -> Any:
        self.asked.append(question if len(question) > 1 else question[0])
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass(frozen=True)
class Ended:
    code: object
    out: str
    err: str


Command = Callable[..., Ended]
