"""What ``why --json`` said, held against what was caused: named rightly, a false alarm, advice although stale."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LIMITS = (
    *("throttle", "api", "destination", "slots", "cpu", "loop", "broker", "redis", "idle", "no_arrivals"),
    *("paused", "poison", "frozen", "drift", "template", "secret", "unknown"),
)
HEALTHY = "idle"
"""The one right answer where nothing was caused: units arrive, and none waits."""

NO_ANSWER = "no answer"
"""Stands for a limit where the command said nothing, or something that is not of the contract's form."""

KEYS = {
    *("limit", "subject", "phase", "sentence", "advice", "more_pods_help", "fresh", "candidates"),
    *("backlog", "oldest_age_s", "arrivals_per_min", "deliveries_per_min", "eta_s"),
}


@dataclass(frozen=True, slots=True)
class Candidate:
    limit: str
    subject: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The part of the answer that is judged."""

    limit: str
    subject: str | None
    sentence: str
    advice: Sequence[str]
    more_pods_help: bool | None
    fresh: bool
    candidates: Sequence[Candidate] = ()


@dataclass(frozen=True, slots=True)
class Expected:
    """What is right for one fault. ``subjects``: one of these names must be in the subject; none: it is not judged.

    ``more_pods``: None, it is not judged. ``or_watched``: ``idle`` is right as well if one of the candidates is right.
    """

    limit: str
    subjects: tuple[str, ...] = ()
    more_pods: bool | None = None
    or_watched: bool = False

    @property
    def text(self) -> str:
        """For the page."""
        about = f" of {' or '.join(self.subjects)}" if self.subjects else ""
        pods = {None: "", True: ", more pods help", False: ", more pods do not help"}[self.more_pods]
        watched = f"; or `{HEALTHY}` with it among the candidates" if self.or_watched else ""
        return f"`{self.limit}`{about}{pods}{watched}"


@dataclass(frozen=True, slots=True)
class Judgement:
    """``faults``: why it is not right."""

    said: str
    faults: Sequence[str] = ()
    false_alarm: bool = False
    stale_advice: bool = False

    @property
    def right(self) -> bool:
        return not self.faults


def read(text: str) -> Verdict:
    """Raises:
    ValueError: it is not of the contract's form.

    """
    said = json.loads(text)
    if not isinstance(said, dict) or not said.keys() >= KEYS:
        raise ValueError(f"keys are missing: {sorted(KEYS - set(said))}")
    if said["limit"] not in LIMITS or not isinstance(said["advice"], list) or not isinstance(said["fresh"], bool):
        raise ValueError("limit, advice or fresh is not of the contract's form")
    return Verdict(
        limit=said["limit"],
        subject=_text(said["subject"]),
        sentence=str(said["sentence"]),
        advice=said["advice"],
        more_pods_help=said["more_pods_help"],
        fresh=said["fresh"],
        candidates=[_candidate(it) for it in said["candidates"]],
    )


def judge(expected: Expected | None, verdict: Verdict | None) -> Judgement:
    """``expected`` None: nothing was caused. ``verdict`` None: there was no answer."""
    if verdict is None:
        return Judgement(NO_ANSWER, ("it gave no answer",), false_alarm=expected is None)
    stale = not verdict.fresh and (bool(verdict.advice) or verdict.more_pods_help is True)
    if expected is None:
        alarm = verdict.limit != HEALTHY
        return Judgement(verdict.limit, ("nothing was caused",) if alarm else (), alarm, stale)
    return Judgement(verdict.limit, tuple(_wrong(expected, verdict)), stale_advice=stale)


def _wrong(expected: Expected, verdict: Verdict) -> list[str]:
    if expected.or_watched and verdict.limit == HEALTHY:
        watched = any(_names(expected, it.limit, it.subject) for it in verdict.candidates)
        return [] if watched else ["it is not among the candidates"]
    wrong = []
    if verdict.limit != expected.limit:
        wrong.append(f"not {expected.limit}")
    elif not _names(expected, verdict.limit, verdict.subject):
        wrong.append(f"the subject is {verdict.subject}")
    if expected.more_pods is not None and verdict.more_pods_help is not expected.more_pods:
        wrong.append(f"more pods help: {verdict.more_pods_help}")
    return wrong


def _names(expected: Expected, limit: str, subject: str | None) -> bool:
    """Whether it is this limit, and one of the names is in the subject as a whole word."""
    words = [rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\d)" for name in expected.subjects]
    about = not words or any(re.search(word, subject or "", re.IGNORECASE) for word in words)
    return limit == expected.limit and about


def _candidate(said: Mapping[str, Any]) -> Candidate:
    return Candidate(str(said["limit"]), _text(said["subject"]))


def _text(said: object) -> str | None:
    return None if said is None else str(said)
