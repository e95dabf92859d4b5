"""What notifications take of Redis, as it is computed."""

import pytest

from notification_sender.policy.limits import Limit
from notification_sender.policy.sizing import DAY, MIB, RECORD, STORY, Retention, fits, most_a_day

SHIPPED = Limit.parse("webhook", "600/minute burst 60")
AT_ITS_LIMITS = "one organization at its limits (1,728,000 a day) takes 6,031 MiB"
WEEK = Retention(7 * DAY, 2 * DAY)


def test_what_an_organization_may_be_sent_in_a_day_is_by_all_channels() -> None:
    assert most_a_day([SHIPPED]) == 864_000
    assert most_a_day([SHIPPED, SHIPPED]) == 1_728_000
    assert most_a_day([SHIPPED, None]) is None


def test_one_notification_a_day_takes_its_record_for_a_week_and_its_story_for_two_days() -> None:
    assert WEEK.bytes_of_one_a_day == 7 * RECORD + 2 * STORY


@pytest.mark.parametrize(
    ("used", "most", "limits", "line"),
    [
        (
            100 * MIB,
            4096 * MIB,
            [SHIPPED, SHIPPED],
            f"100 MiB used of 4,096, room for 1,173,488 notifications a day; {AT_ITS_LIMITS}",
        ),
        (
            100 * MIB,
            0,
            [SHIPPED],
            "100 MiB used, no maxmemory; one organization at its limits (864,000 a day) takes 3,016 MiB",
        ),
        (
            0,
            1024 * MIB,
            [None],
            "0 MiB used of 1,024, room for 293,372 notifications a day; an organization without a limit may fill it",
        ),
    ],
)
def test_one_line_says_what_fits(used: int, most: int, limits: list[Limit | None], line: str) -> None:
    assert fits(used, most, WEEK, limits) == line
