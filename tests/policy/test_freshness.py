"""The subject is never older than the event."""

from datetime import UTC, datetime, timedelta

from notification_sender.policy.freshness import fence

EVENT = datetime(2026, 3, 6, 8, 26, tzinfo=UTC)
BEFORE, AFTER = EVENT - timedelta(seconds=1), EVENT + timedelta(seconds=1)


def test_a_fingerprint_fences_by_the_subjects_own_time() -> None:
    held = fence(EVENT, AFTER)
    assert held.satisfied_by(modified=EVENT, fetched=BEFORE)
    assert not held.satisfied_by(modified=BEFORE, fetched=AFTER)
    assert not held.satisfied_by(modified=None, fetched=AFTER)


def test_without_one_a_copy_must_be_fetched_since_it_happened() -> None:
    held = fence(None, EVENT)
    assert held.satisfied_by(modified=BEFORE, fetched=AFTER)
    assert not held.satisfied_by(modified=AFTER, fetched=BEFORE)


def test_without_either_any_copy_will_do() -> None:
    assert fence(None, None).satisfied_by(modified=None, fetched=BEFORE)
