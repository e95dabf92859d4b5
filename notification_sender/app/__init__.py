"""The application: the only room that knows every concrete class. Commands call the functions of this package."""

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
from notification_sender.app.run import Child, run
from notification_sender.app.worker_process import App
from notification_sender.recipes import sample

__all__ = [
    "App",
    "CheckResult",
    "Child",
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
    "run",
    "run_checks",
    "sample",
    "suppress",
    "suppressed",
    "troubled",
    "unsuppress",
]
