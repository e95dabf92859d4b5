"""What the commands call, besides the worker itself."""

from notification_sender.app.admin import (
    audit,
    declare,
    enable,
    publish,
    suppress,
    suppressed,
    troubled,
    unsuppress,
)
from notification_sender.app.check import CheckResult, run_checks
from notification_sender.app.dead_letters import LetterFilter, LetterGroup, ReplayResult, list_dead, replay
from notification_sender.app.preview import UnitReview, plan, preview, review_units
from notification_sender.recipes import sample

__all__ = [
    "CheckResult",
    "LetterFilter",
    "LetterGroup",
    "ReplayResult",
    "UnitReview",
    "audit",
    "declare",
    "enable",
    "list_dead",
    "plan",
    "preview",
    "publish",
    "replay",
    "review_units",
    "run_checks",
    "sample",
    "suppress",
    "suppressed",
    "troubled",
    "unsuppress",
]
