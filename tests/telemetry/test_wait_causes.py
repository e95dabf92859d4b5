"""What deliveries wait for, as a process counts it."""

import pytest

from notification_sender.model.cause import Cause, Phase
from notification_sender.model.process_report import WINDOW, WaitCause
from notification_sender.telemetry.attempt_record import AttemptFacts, End
from notification_sender.telemetry.wait_causes import MOST_REASONS, WaitCauses
from tests.virtual import VirtualClock

SEEN = 1000.0


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def causes(clock: VirtualClock) -> WaitCauses:
    return WaitCauses(clock.monotonic)


def facts(organization: str = "org-1", destination: str = "noc", channel: str = "webhook") -> AttemptFacts:
    return AttemptFacts(organization_id=organization, destination_id=destination, channel=channel, template="intel")


def deferred(reason: str = "throttled", seconds: float = 10.0, **end: object) -> End:
    return End(outcome="deferred", reason=reason, delay_ms=1000 * seconds, **end)  # type: ignore[arg-type]


def test_deferrals_of_one_cause_are_counted_together(causes: WaitCauses) -> None:
    causes.record(deferred(seconds=10.0), facts(), subject="webhook", first_seen=SEEN + 5)
    causes.record(deferred(seconds=WINDOW * 100), facts(), subject="webhook", first_seen=SEEN)
    assert causes.summary() == (
        WaitCause(reason="throttled", subject="webhook", organization="org-1", count=2, waiting=1.25, oldest=SEEN),
    )


@pytest.mark.parametrize(
    ("end", "channel", "key"),
    [
        (End(outcome="failed", reason="sent_unknown"), "webhook", ("failed", "noc", "org-1", "")),
        (End(outcome="failed", reason="sent_answered"), "email", ("failed", "mail server", "org-1", "")),
        (deferred("host_out"), "webhook", ("host_out", "noc", "org-1", "")),
        (End(outcome="dead", reason="render"), "webhook", ("dead render", "intel", "org-1", "")),
        (
            deferred("context_unavailable", cause=Cause(source="organization", api="aaa", phase=Phase.FIRST_BYTE)),
            "webhook",
            ("context_unavailable", "aaa", "", "first_byte"),
        ),
    ],
)
def test_the_subject_of_a_cause_is_the_one_that_is_to_blame(
    causes: WaitCauses, end: End, channel: str, key: tuple[str, ...]
) -> None:
    causes.record(end, facts(channel=channel), subject="noc.example:443", first_seen=SEEN)
    [cause] = causes.summary()
    assert (cause.reason, cause.subject, cause.organization, cause.phase) == key


def test_a_cause_is_forgotten_after_the_window(causes: WaitCauses, clock: VirtualClock) -> None:
    causes.record(deferred(), facts(), subject="webhook", first_seen=SEEN)
    clock.jump(WINDOW - 1)
    assert len(causes.summary()) == 1
    clock.jump(2)
    assert causes.summary() == ()


def test_causes_beyond_a_bound_are_counted_by_their_reason_alone(causes: WaitCauses) -> None:
    for number in range(MOST_REASONS + 50):
        causes.record(deferred(seconds=1), facts(f"org-{number}"), subject="webhook", first_seen=SEEN)
    first = causes.summary()[0]
    assert (first.organization, first.count) == ("", 50)
