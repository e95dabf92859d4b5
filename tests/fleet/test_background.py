"""Background work starts again after an error, and an error that lasts is logged once."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from notification_sender.fleet import background
from notification_sender.fleet.background import WELL_SECONDS, BackgroundTasks, LogOnChange, run_forever, together
from tests.context.fakes import run_timeless


async def test_work_that_fails_starts_again_and_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "PAUSE", 0.0)
    begun, well, words = [], asyncio.Event(), "of a message"

    async def work() -> None:
        begun.append(1)
        if len(begun) < 4:
            raise LookupError(words)
        well.set()
        await asyncio.Event().wait()

    with capture_logs() as logs:
        task = run_forever(work, "looking")
        await well.wait()
    assert [(it["event"], it["task"], it["error"]) for it in logs] == [("task.failed", "looking", "LookupError")]
    assert words not in str(logs)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


@pytest.mark.parametrize(("seconds", "lines"), [(0.0, 1), (WELL_SECONDS / 2, 1), (WELL_SECONDS, 3)])
def test_the_same_error_is_logged_again_if_the_work_ran_well_in_between(seconds: float, lines: int) -> None:
    ends = [LookupError(), LookupError(), LookupError(), None]

    async def work() -> None:
        await asyncio.sleep(seconds)
        if (fault := ends.pop(0)) is not None:
            raise fault

    async def run() -> None:
        await run_forever(work, "looking")

    with capture_logs() as logs:
        run_timeless(run())
    assert [it["event"] for it in logs] == ["task.failed"] * lines


async def test_work_that_returns_is_not_run_again() -> None:
    begun = []

    async def work() -> None:
        begun.append(1)

    await run_forever(work, "once")
    assert begun == [1]


def test_an_error_is_logged_when_it_changes_and_again_after_all_was_well() -> None:
    lines: list[Any] = []
    failed = LogOnChange(lambda event, **fields: lines.append((event, fields)), "server.away", server="a")
    for error in ("refused", "refused", "timeout", "", "timeout"):
        failed(error)
    assert lines == [("server.away", {"server": "a", "error": it}) for it in ("refused", "timeout", "timeout")]


async def test_closing_cancels_the_tasks_and_waits_for_their_end() -> None:
    tasks, ended = BackgroundTasks(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    tasks.start(work())
    await asyncio.sleep(0)
    await tasks.close()
    assert ended == [1]


async def test_work_that_runs_at_once_is_awaited() -> None:
    one, other = asyncio.Event(), asyncio.Event()

    async def meet(mine: asyncio.Event, theirs: asyncio.Event) -> None:
        mine.set()
        await theirs.wait()

    await together(meet(one, other), meet(other, one))


async def test_when_one_of_them_fails_the_others_have_ended_before_its_error_is_raised() -> None:
    ended = []

    async def other() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(1)

    async def failing() -> None:
        await asyncio.sleep(0)
        raise LookupError

    with pytest.raises(LookupError):
        await together(other(), failing())
    assert ended == [1]
