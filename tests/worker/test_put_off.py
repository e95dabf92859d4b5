"""Whatever is put off says what for: the log has it in one line."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

import notification_sender
from notification_sender.model.cause import Cause, Phase
from notification_sender.model.errors import ContextUnavailable, PlatformFault, SetupFault, SlowDown, SubjectNotFound
from notification_sender.model.outcome import Deferred
from notification_sender.telemetry import log
from tests.worker.conftest import WorkerHarness

PACKAGE = Path(notification_sender.__file__).parent


@pytest.fixture(autouse=True)
def _told_at_all() -> Iterator[None]:
    log.configure(form="json", level="info")
    yield
    log.configure(form="json", level="warning")


OUT = Cause("token", "aaa", phase=Phase.BREAKER)
ABSENT = Cause("incident", "incidents", 404, Phase.READ)


@pytest.mark.parametrize(
    ("fault", "because", "cause"),
    [
        (
            ContextUnavailable("incident: aaa is out", cause=OUT),
            "context_unavailable:token aaa breaker",
            {"source": "token", "api": "aaa", "phase": "breaker"},
        ),
        (
            SubjectNotFound("incident: answered 404", cause=ABSENT),
            "subject_not_found:incident incidents 404 read",
            {"source": "incident", "api": "incidents", "status": 404, "phase": "read"},
        ),
    ],
)
async def test_a_unit_says_which_api_it_waits_for(
    harness: WorkerHarness, fault: PlatformFault, because: str, cause: dict[str, Any]
) -> None:
    harness.composer.faults.append(fault)
    with capture_logs() as lines:
        await harness.publish()
        await harness.clock.until(harness.idle)
    [line] = [it for it in lines if it["event"] == "unit.deferred"]
    assert (line["because"], line["cause"], line["error"]) == (because, cause, str(fault))


@pytest.mark.parametrize(
    ("fault", "because"),
    [
        (ContextUnavailable("aaa is out", cause=OUT), "context_unavailable:token aaa breaker"),
        (SlowDown("421 too many", seconds=2.0), "slow_down:421 too many"),
        (SetupFault("there is no file k1", reason="secret_missing"), "secret_missing:there is no file k1"),
    ],
)
async def test_a_notification_says_what_it_waits_for(harness: WorkerHarness, fault: Exception, because: str) -> None:
    harness.channel.ends.append(fault)
    with capture_logs() as lines:
        await harness.publish()
        await harness.clock.until(harness.idle)
    [line] = [it for it in lines if it["event"] == "notification.deferred"]
    assert line["because"] == because
    assert line["reason"] == because.partition(":")[0]


def test_nothing_is_put_off_without_its_subject() -> None:
    bare = [
        f"{path.relative_to(PACKAGE)}:{call.lineno}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == Deferred.__name__
        if len(call.args) < 3 and "cause" not in {it.arg for it in call.keywords}
    ]
    assert not bare
