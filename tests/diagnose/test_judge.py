"""What is right, what is a false alarm and what is advice although stale, by the answer of ``why --json`` alone."""

import json
from typing import Any

import pytest

from bench.diagnose.judge import LIMITS, Candidate, Expected, Verdict, judge, read

AAA = Expected("api", ("aaa",), more_pods=False)
WHOLE: dict[str, Any] = {
    "limit": "api",
    "subject": "aaa",
    "phase": "first_byte",
    "sentence": "aaa is slow",
    "advice": ["Look at aaa."],
    "more_pods_help": False,
    "fresh": True,
    "candidates": [{"limit": "slots", "subject": None, "used": 3, "allowed": 12, "waiting": 0}],
    "backlog": 12,
    "oldest_age_s": 3.5,
    "arrivals_per_min": 360,
    "deliveries_per_min": 100,
    "eta_s": None,
}


def said(**facts: Any) -> Verdict:
    return read(json.dumps(WHOLE | facts))


def test_the_limit_its_subject_and_the_word_on_pods_are_named_rightly() -> None:
    judgement = judge(AAA, said())
    assert (judgement.right, judgement.said, judgement.false_alarm, judgement.stale_advice) == (
        True,
        "api",
        False,
        False,
    )


@pytest.mark.parametrize(
    ("facts", "fault"),
    [
        ({"limit": "slots"}, "not api"),
        ({"subject": "assets"}, "the subject is assets"),
        ({"subject": None}, "the subject is None"),
        ({"more_pods_help": True}, "more pods help: True"),
        ({"more_pods_help": None}, "more pods help: None"),
    ],
)
def test_each_part_that_is_wrong_is_a_fault(facts: dict[str, Any], fault: str) -> None:
    assert judge(AAA, said(**facts)).faults == (fault,)


@pytest.mark.parametrize(
    ("subject", "right"),
    [
        ("127.0.1.1:9101", True),
        ("http://127.0.1.1:9101", True),
        ("127.0.1.10:9101", False),
        ("127.0.1.1.5", False),
        ("host 127.0.1.1", True),
        ("HOOK-A of org", True),
        ("hook-a-b", False),
        ("x-hook-a", False),
    ],
)
def test_a_subject_is_right_with_one_of_the_names_as_a_whole_word(subject: str, right: bool) -> None:  # noqa: FBT001
    expected = Expected("destination", ("127.0.1.1", "hook-a"))
    assert judge(expected, said(limit="destination", subject=subject)).right is right


def test_a_subject_without_a_name_is_not_judged() -> None:
    assert judge(Expected("frozen"), said(limit="frozen", subject="pod-7")).right


@pytest.mark.parametrize("limit", [it for it in LIMITS if it != "idle"])
def test_in_a_healthy_stretch_everything_but_idle_is_a_false_alarm(limit: str) -> None:
    judgement = judge(None, said(limit=limit))
    assert (judgement.right, judgement.false_alarm) == (False, True)


def test_idle_is_right_in_a_healthy_stretch() -> None:
    judgement = judge(None, said(limit="idle", subject=None, advice=[]))
    assert (judgement.right, judgement.false_alarm) == (True, False)


def test_no_answer_is_right_of_nothing() -> None:
    assert not judge(AAA, None).right
    assert judge(None, None).false_alarm


@pytest.mark.parametrize(
    ("facts", "advised"),
    [
        ({"advice": [], "more_pods_help": None}, False),
        ({"advice": [], "more_pods_help": False}, False),
        ({"advice": ["Look at aaa."]}, True),
        ({"advice": [], "more_pods_help": True}, True),
    ],
)
def test_a_stale_answer_must_give_no_advice(facts: dict[str, Any], advised: bool) -> None:  # noqa: FBT001
    assert judge(AAA, said(fresh=False, **facts)).stale_advice is advised
    assert judge(None, said(fresh=False, **facts)).stale_advice is advised


@pytest.mark.parametrize(("candidate", "right"), [(("api", "assets"), True), (("api", "aaa"), False)])
def test_a_fault_that_holds_nothing_up_may_be_idle_where_a_candidate_names_it(
    candidate: tuple[str, str],
    right: bool,  # noqa: FBT001
) -> None:
    watched = Expected("api", ("assets",), or_watched=True)
    limit, subject = candidate
    more = [*WHOLE["candidates"], {"limit": limit, "subject": subject, "used": 1, "allowed": 9, "waiting": 0}]
    assert judge(watched, said(limit="idle", subject=None, candidates=more)).right is right
    assert judge(Expected("api", ("assets",)), said(limit="idle", candidates=more)).faults == ("not api",)


@pytest.mark.parametrize(
    "text",
    [
        "No such command",
        "[]",
        "{}",
        json.dumps(WHOLE | {"limit": "gremlins"}),
        json.dumps(WHOLE | {"advice": "Look."}),
        json.dumps(WHOLE | {"fresh": None}),
        json.dumps({name: value for name, value in WHOLE.items() if name != "eta_s"}),
    ],
)
def test_what_is_not_of_the_contracts_form_is_no_answer(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of json or of ours
        read(text)


def test_the_candidates_are_read() -> None:
    assert said().candidates == [Candidate("slots", None)]
