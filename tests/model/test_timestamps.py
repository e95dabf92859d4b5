from datetime import UTC, datetime, timedelta, timezone
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.model.timestamps import Precision, format_rfc3339, parse_rfc3339

MOMENT = datetime(2026, 3, 6, 8, 26, tzinfo=UTC)

JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.lists(st.text(), max_size=1)


@given(st.text() | st.datetimes(timezones=st.none() | st.timezones()).map(str) | JSON)
def test_whatever_is_read_as_a_time_can_be_written_as_one(text: object) -> None:
    read = parse_rfc3339(text)
    assert read is None or parse_rfc3339(format_rfc3339(read)) == read


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
@pytest.mark.parametrize("zoned", [False, True])
def test_what_is_outside_the_years_of_utc_is_no_time(text: str, zoned: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert parse_rfc3339(text, zoned=zoned) is None


def test_a_time_without_an_offset_is_utc_unless_an_offset_is_asked_for() -> None:
    assert parse_rfc3339("2026-03-06T08:26:00") == MOMENT
    assert parse_rfc3339("2026-03-06T08:26:00", zoned=True) is None
    assert parse_rfc3339("2026-03-06T09:26:00+01:00", zoned=True) == MOMENT


@pytest.mark.parametrize("at", [MOMENT, MOMENT.astimezone(timezone(timedelta(hours=1))), MOMENT.timestamp()])
def test_a_time_is_written_in_utc_whether_it_is_a_time_or_epoch_seconds(at: datetime | float) -> None:
    assert format_rfc3339(at) == "2026-03-06T08:26:00Z"


@given(st.floats(-1e10, 1e11), st.sampled_from(get_args(Precision)))
def test_seconds_since_1970_are_written_as_the_time_that_they_are(at: float, timespec: Precision) -> None:
    assert format_rfc3339(at, timespec) == format_rfc3339(datetime.fromtimestamp(at, UTC), timespec)


def test_a_fraction_has_the_digits_that_are_asked_for() -> None:
    at = MOMENT + timedelta(milliseconds=125)
    assert format_rfc3339(at) == "2026-03-06T08:26:00.125000Z"
    assert format_rfc3339(at, "milliseconds") == "2026-03-06T08:26:00.125Z"
    assert format_rfc3339(at, "seconds") == "2026-03-06T08:26:00Z"
