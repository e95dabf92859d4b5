"""The parent with stand-ins for its workers: what it starts, when, and what it does when one ends."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from notification_sender.policy import restarts
from notification_sender.processes import parent as module
from notification_sender.processes import worker
from notification_sender.processes.parent import Parent
from notification_sender.processes.worker import WorkerProcess
from notification_sender.telemetry import log
from tests.patience import patience, patient

STAND_IN = Path(__file__).with_name("stand_in.py")


class Running:
    """A parent that runs in this process, and what it logged."""

    def __init__(self, parent: Parent, events: list[EventDict]) -> None:
        self.task = asyncio.create_task(parent.run())
        self.events = events

    async def says(self, event: str, times: int = 1, **facts: object) -> EventDict:
        async with patience(20):
            while (
                len(found := [it for it in self.events if it["event"] == event and it.items() >= facts.items()]) < times
            ):
                assert not self.task.done() or self.task.exception() is None
                await asyncio.sleep(0.01)
        return found[times - 1]

    async def ended(self) -> int:
        async with patience(20):
            return await self.task

    async def get(self, path: str) -> httpx.Response:
        port = (await self.says("health.listening"))["port"]
        async with httpx.AsyncClient(timeout=patient(10)) as client:
            return await client.get(f"http://127.0.0.1:{port}{path}")


Run = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run a parent of stand-ins. ``moods``: for each of them, what each of its starts does."""
    monkeypatch.setattr(worker, "_COMMAND", (sys.executable, str(STAND_IN)))
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.02)
    monkeypatch.setattr(module, "START_CHECK_SECONDS", 0.02)

    @asynccontextmanager
    async def running(*moods: list[str]) -> AsyncIterator[Running]:
        plan = json.dumps({str(number): mood for number, mood in enumerate(moods, 1)})
        environ = {"STAND_IN": plan, "STAND_IN_STARTS": str(tmp_path)}
        with capture_logs() as events:
            one = Running(Parent([WorkerProcess(it + 1, environ) for it in range(len(moods))]), events)
            try:
                yield one
            finally:
                if not one.task.done():
                    os.kill(os.getpid(), signal.SIGTERM)
                    os.kill(os.getpid(), signal.SIGINT)
                await asyncio.wait({one.task})

    log.configure(form="json", level="info")
    yield running
    log.configure(form="json", level="warning")


@pytest.fixture
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarts, "FIRST_PAUSE", 0.0)


async def test_the_others_start_when_the_first_is_ready(run: Run) -> None:
    async with run(["away"], ["ready"]) as parent:
        assert (await parent.get("/readyz")).status_code == 503
        assert [it["process"] for it in parent.events if it["event"] == "process.started"] == [1]
    async with run(["ready"], ["ready"], ["ready"]) as parent:
        await parent.says("process.started", process=3)
        assert parent.events[0]["process"] == 1


async def test_ctrl_c_reaches_the_parent_alone(run: Run) -> None:
    """A terminal sends it to all of a process group: with what the parent passes on, workers would get it twice."""
    async with run(["ready"]) as parent:
        pid = (await parent.says("process.started"))["pid"]
        assert os.getpgid(pid) != os.getpgid(0)


@pytest.mark.usefixtures("_no_pause")
@pytest.mark.parametrize(("mood", "end"), [("exit 0", "exit 0"), ("exit 3", "exit 3")])
async def test_a_worker_that_ends_by_itself_is_started_again(run: Run, mood: str, end: str) -> None:
    async with run(["ready"], [mood, "ready"]) as parent:
        await parent.says("process.started", times=2, process=2)
        assert (await parent.says("process.ended", process=2))["end"] == end
        assert len([it for it in parent.events if it["event"] == "process.started" and it["process"] == 1]) == 1


async def test_the_pause_before_a_restart_grows(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarts, "FIRST_PAUSE", 0.01)
    async with run(["ready"], ["exit 1"]) as parent:
        await parent.says("process.ended", times=4)
    pauses = [it["restart_in"] for it in parent.events if it["event"] == "process.ended" and "restart_in" in it]
    assert pauses[:4] == [0.01, 0.02, 0.04, 0.08]


async def test_a_fault_of_the_configuration_at_start_ends_all(run: Run) -> None:
    async with run(["fault"], ["ready"]) as parent:
        assert await parent.ended() == os.EX_CONFIG
    assert [it["process"] for it in parent.events if it["event"] == "process.started"] == [1]


@pytest.mark.usefixtures("_no_pause")
async def test_a_fault_of_the_configuration_later_ends_nobody_else(run: Run) -> None:
    async with run(["ready"], ["exit 1", "fault", "ready"]) as parent:
        await parent.says("process.ended", process=2, end="exit 78")
        await parent.says("process.started", times=3, process=2)
        assert not parent.task.done()


@pytest.mark.usefixtures("_no_pause")
@pytest.mark.parametrize("mood", ["held", "silent"])
async def test_a_stuck_worker_is_killed_and_started_again(run: Run, monkeypatch: pytest.MonkeyPatch, mood: str) -> None:
    monkeypatch.setattr(worker, "REPLY_SECONDS", 0.5 if mood == "silent" else patient(10))
    monkeypatch.setattr(worker, "UNANSWERED_AT_START", 6)
    async with run(["ready"], [mood, "ready"]) as parent:
        assert (await parent.says("process.stuck", process=2))["pid"]
        assert (await parent.says("process.ended", process=2))["end"] == "SIGKILL"
        await parent.says("process.started", times=2, process=2)
        assert (await parent.get("/livez")).status_code == 200
        assert 'notification_sender_process_kills_total{process="2"} ' in (await parent.get("/metrics")).text


async def test_a_killed_worker_that_does_not_end_fails_the_health_check(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "KILLED_SECONDS", 0.0)
    async with run(["ready"], ["held"]) as parent:
        # It waits for a dead disk: the signal does nothing.
        monkeypatch.setattr(asyncio.subprocess.Process, "kill", lambda _: None)
        await parent.says("process.stuck", process=2)
        answer = await parent.get("/livez")
        assert (answer.status_code, answer.json()) == (503, {"live": False, "not_ended": [2]})
        monkeypatch.undo()


@pytest.mark.parametrize(("last", "code"), [("ready", 0), ("deaf", 1)])
async def test_a_signal_ends_all_and_the_exit_code_says_whether_all_ended_well(run: Run, last: str, code: int) -> None:
    async with run(["ready"], [last]) as parent:
        pid = (await parent.says("process.started", process=2))["pid"]
        async with patience(20):
            while not (await parent.get("/readyz")).json()["ready"]:  # noqa: ASYNC110 - it can only be asked
                await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        await parent.says("process.ended", process=1, end="exit 0")
        if last == "deaf":
            os.kill(pid, signal.SIGKILL)
        assert await parent.ended() == code


async def test_a_second_signal_cuts_them_off(run: Run) -> None:
    async with run(["deaf"]) as parent:
        await parent.get("/readyz")
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert await parent.ended() == 0


async def test_a_signal_ends_the_pause_of_a_worker_that_waits_for_its_restart(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, "FIRST_PAUSE", 3600.0)
    async with run(["ready"], ["exit 1"]) as parent:
        await parent.says("process.ended", process=2)
        readiness = (await parent.get("/readyz")).json()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await parent.ended() == 0
    assert readiness["processes"]["2"] == {"ready": False, "state": "waiting"}
    assert (readiness["ready"], readiness["rabbitmq"]) == (False, False)


async def test_the_status_has_the_sums_and_each_worker(run: Run) -> None:
    async with run(["ready"], ["ready"]) as parent:
        await parent.says("process.started", process=2)
        async with patience(20):
            while not (await parent.get("/readyz")).json()["ready"]:  # noqa: ASYNC110 - it can only be asked
                await asyncio.sleep(0.01)
        status = (await parent.get("/status")).json()
    assert (status["ready"], status["in_hand"], status["unsettled"]) == (True, 4, 6)
    assert status["processes"]["1"].items() >= {"state": "running", "starts": 1, "in_hand": 2}.items()


async def test_where_a_worker_cannot_be_started_again_the_others_go_on(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more files or processes: that is over one day, and ends nobody who works."""
    monkeypatch.setattr(restarts, "FIRST_PAUSE", 0.01)
    started = WorkerProcess._start
    refusals = [OSError(24, "Too many open files")] * 2

    async def refused(self: WorkerProcess, connection: int) -> Any:
        if self.number == 2 and refusals:
            raise refusals.pop()
        return await started(self, connection)

    monkeypatch.setattr(WorkerProcess, "_start", refused)
    async with run(["ready"], ["ready"]) as parent:
        await parent.says("process.not_started", process=2)
        await parent.says("process.started", process=2)
        async with patience(20):
            while not (await parent.get("/readyz")).json()["ready"]:  # noqa: ASYNC110 - it can only be asked
                await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await parent.ended() == 0


@pytest.mark.parametrize(("code", "text"), [(0, "exit 0"), (-9, "SIGKILL"), (-40, "signal 40")])
def test_an_end_has_a_text_whatever_ended_it(code: int, text: str) -> None:
    assert worker.end_of(code) == text


async def test_questions_of_clients_do_not_make_a_worker_count_as_stuck() -> None:
    asked = WorkerProcess(1, {})

    async def silent(_path: str, _seconds: float) -> None:
        return None

    asked._connection = cast("Any", SimpleNamespace(ask=silent))
    asked._answered = True
    for _ in range(2 * worker.UNANSWERED):
        await asked.ask("/readyz")
    assert not await asked.stuck()
    for _ in range(worker.UNANSWERED - 2):
        assert not await asked.stuck()
    assert await asked.stuck()
