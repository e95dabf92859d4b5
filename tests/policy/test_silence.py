"""An API that hangs is found out by time, and what is no proof of that never speaks against it."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from notification_sender.policy.breaker import API
from notification_sender.policy.doubts import IN_A_ROW
from notification_sender.policy.silence import FORGOTTEN, NOBODY, SEVERAL, Silence

DEADLINE = 10.0
PATIENCE = 2 * DEADLINE
ORGANIZATIONS = ("a", "b", "c", "d")


@dataclass(frozen=True)
class Call:
    """One after the other: it begins so long after the one before has ended."""

    pause: float
    seconds: float
    end: str
    """``answered``, ``unanswered``, or ``broken off`` for reasons of ours."""
    whose: str


class Api:
    def __init__(self) -> None:
        self.silence = Silence(PATIENCE)
        self.now = 1_000.0

    def calls(self, *calls: Call) -> bool:
        """Whether it is silent when the last one has ended."""
        for call in calls:
            self.now += call.pause
            self.silence.call_began(self.now)
            self.now += call.seconds
            self.silence.call_ended(self.now)
            if call.end == "answered":
                self.silence.forget(self.now)
            elif call.end == "unanswered":
                self.silence.unanswered(call.whose)
        return self.lasts()

    def lasts(self, later: float = 0.0) -> bool:
        return self.silence.lasts(self.now + later)


def hung(whose: str = NOBODY, pause: float = 0.0) -> Call:
    return Call(pause, DEADLINE, "unanswered", whose)


pauses = st.floats(0, FORGOTTEN - 1)
some_calls = st.lists(
    st.builds(
        Call, pauses, st.floats(0, DEADLINE), st.sampled_from(("answered", "unanswered", "broken off")),
        st.sampled_from((NOBODY, *ORGANIZATIONS)),
    ),
    max_size=30,
)  # fmt: skip


@given(before=some_calls, pause=pauses)
def test_two_calls_that_hang_one_after_the_other_are_enough_whatever_was_before(
    before: list[Call], pause: float
) -> None:
    api = Api()
    api.calls(*before)
    assert api.calls(hung(), hung(pause=pause))


@given(before=some_calls)
def test_an_answer_of_whatever_kind_ends_it(before: list[Call]) -> None:
    api = Api()
    api.calls(*before)
    assert not api.calls(Call(0.0, 1.0, "answered", "a"))
    assert not api.calls(hung())


@given(calls=some_calls, later=st.floats(0, 1e6))
def test_time_in_which_nobody_asks_says_nothing(calls: list[Call], later: float) -> None:
    api = Api()
    assert api.calls(*calls) == api.lasts(later)


@given(seconds=st.floats(0.1, DEADLINE), pause=st.floats(0, 3600), count=st.integers(1, 200))
def test_a_slow_api_that_answers_is_alive(seconds: float, pause: float, count: int) -> None:
    api = Api()
    assert not any(api.calls(Call(pause, seconds, "answered", "a")) for _ in range(count))


@given(whose=st.lists(st.sampled_from(ORGANIZATIONS[: SEVERAL - 1]), max_size=IN_A_ROW - 1), pause=pauses)
def test_records_of_one_or_two_organizations_never_take_it_from_the_others(whose: list[str], pause: float) -> None:
    api = Api()
    assert not any(api.calls(hung(it, pause)) for it in whose)


def test_calls_of_three_organizations_are_enough() -> None:
    assert [Api().calls(*map(hung, whose)) for whose in ("aab", "abc")] == [False, True]


def test_where_there_is_one_organization_alone_so_many_in_a_row_are() -> None:
    api = Api()
    assert [api.calls(hung("a")) for _ in range(IN_A_ROW)] == [False] * (IN_A_ROW - 1) + [True]


def test_it_is_known_while_the_next_call_still_hangs() -> None:
    api = Api()
    assert not api.calls(hung())
    api.silence.call_began(api.now)
    assert [api.lasts(later) for later in (0.0, DEADLINE - 0.1, DEADLINE)] == [False, False, True]


def test_many_calls_at_once_wait_no_longer_than_one() -> None:
    api = Api()
    for _ in range(50):
        api.silence.call_began(api.now)
    assert not api.lasts(PATIENCE - 0.1), "and nobody knows yet whose fault it is"
    for _ in range(49):
        api.silence.call_ended(api.now + DEADLINE)
    api.silence.unanswered(NOBODY)
    assert [api.lasts(later) for later in (PATIENCE - 0.1, PATIENCE)] == [False, True]


@given(pause=pauses)
def test_an_api_that_is_called_once_a_minute_and_refuses_each_connection_is_out_after_some(pause: float) -> None:
    api = Api()
    refused = [api.calls(Call(pause, 0.0, "unanswered", NOBODY)) for _ in range(API.failures)]
    assert refused == [False] * (API.failures - 1) + [True]


def test_what_was_before_a_long_rest_is_forgotten() -> None:
    api = Api()
    assert not any(api.calls(hung(pause=FORGOTTEN + 1)) for _ in range(50))


@given(count=st.integers(1, 100))
def test_what_we_broke_off_ourselves_says_nothing(count: int) -> None:
    assert not Api().calls(*[Call(0.0, 1.0, "broken off", NOBODY)] * count)
