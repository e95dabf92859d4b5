"""How long each step of a canary took, by its story."""

from datetime import datetime
from typing import Any

from notification_sender.policy.story import Story

Steps = dict[str, float]
"""Milliseconds by step, in order: ``queue``, ``compose``, ``wait``, ``send``."""


def steps(story: Story | None, published: float) -> Steps:
    """The steps that are done. ``published``: epoch seconds by the clock of Redis, as all times of a story are."""
    events = {} if story is None else {it["step"]: it for it in reversed(story.events) if it["step"] != "end"}
    done: Steps = {}
    if (claim := events.get("claim")) is None:
        return done
    at = published
    done["queue"], at = _ms(at, _at(claim)), _at(claim)
    if (admit := events.get("admit")) is not None:
        done["compose"], at = _ms(at, _at(admit)), _at(admit)
    if (send := events.get("send")) is not None:
        began = _at(send) - send.get("ms", 0.0) / 1000
        done["wait" if "compose" in done else "compose"] = _ms(at, began)
        done["send"] = round(float(send.get("ms", 0.0)), 1)
    return done


def _at(event: Any) -> float:
    return datetime.fromisoformat(event["at"]).timestamp()


def _ms(begin: float, end: float) -> float:
    return round(1000 * max(0.0, end - begin), 1)
