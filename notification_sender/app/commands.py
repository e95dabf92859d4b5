"""What the commands call, besides the worker itself."""

from notification_sender.adapters.redis.records import OrganizationState
from notification_sender.app.admin import (
    declare,
    enable,
    publish,
    suppress,
    suppressed,
    troubled,
    unsuppress,
)
from notification_sender.app.audits import audit, audit_expected, audit_time
from notification_sender.app.canary import CanaryResult, canary
from notification_sender.app.changes import Change, announce
from notification_sender.app.check import CheckResult, fleet_checks, run_checks
from notification_sender.app.dead_letters import LetterFilter, LetterGroup, list_dead, show_dead
from notification_sender.app.dead_replay import ReplayResult, drop, replay
from notification_sender.app.explain import explain
from notification_sender.app.preview import UnitReview, plan, preview, review_units
from notification_sender.app.records import Erased, cache_use, erase, organizations, purge
from notification_sender.app.snapshot import snapshot
from notification_sender.policy.story import Story
from notification_sender.recipes import sample

__all__ = [
    "CanaryResult",
    "Change",
    "CheckResult",
    "Erased",
    "LetterFilter",
    "LetterGroup",
    "OrganizationState",
    "ReplayResult",
    "Story",
    "UnitReview",
    "announce",
    "audit",
    "audit_expected",
    "audit_time",
    "cache_use",
    "canary",
    "declare",
    "drop",
    "enable",
    "erase",
    "explain",
    "fleet_checks",
    "list_dead",
    "organizations",
    "plan",
    "preview",
    "publish",
    "purge",
    "replay",
    "review_units",
    "run_checks",
    "sample",
    "show_dead",
    "snapshot",
    "suppress",
    "suppressed",
    "troubled",
    "unsuppress",
]
