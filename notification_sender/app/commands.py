"""What the commands call, besides the worker itself."""

from notification_sender.adapters.rabbitmq.inspection import BrokerState
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.adapters.redis.records import OrganizationState
from notification_sender.app.admin import (
    declare,
    publish,
    suppress,
    suppressed,
    unsuppress,
)
from notification_sender.app.audits import audit, audit_expected, audit_time
from notification_sender.app.canary import CanaryResult, canary
from notification_sender.app.changes import Change, announce
from notification_sender.app.check import CheckResult, fleet_checks, run_checks
from notification_sender.app.circuits import Circuits, ForceResult, circuits, force_circuit, reset_circuit
from notification_sender.app.circuits import subject as circuit_subject
from notification_sender.app.dead_letters import (
    LetterFilter,
    LetterGroup,
    ShownLetters,
    list_dead,
    show_dead,
    unmatched,
)
from notification_sender.app.dead_replay import ReplayResult, drop, replay
from notification_sender.app.destinations import (
    DestinationState,
    SwitchResult,
    announce_resent,
    disable,
    enable,
    show_destination,
    troubled,
)
from notification_sender.app.diagnosis import fleet_view
from notification_sender.app.explain import explain
from notification_sender.app.objectives import objective_states
from notification_sender.app.pauses import PauseResult, ResumeResult, pause, paused, resume
from notification_sender.app.preview import UnitReview, plan, preview, review_units
from notification_sender.app.records import Erased, cache_use, erase, organizations, purge
from notification_sender.app.snapshot import snapshot
from notification_sender.app.throttles import (
    Throttle,
    ThrottleResult,
    channels,
    reset_throttle,
    set_throttle,
    throttles,
)
from notification_sender.app.topologies import Migrated, compare, migrate
from notification_sender.app.waiting import RetryResult, WaitingFilter, retry
from notification_sender.app.withheld import Resent, resend
from notification_sender.policy.story import Story
from notification_sender.recipes import sample

__all__ = [
    "BrokerState",
    "CanaryResult",
    "Change",
    "CheckResult",
    "Circuits",
    "DestinationState",
    "Erased",
    "ForceResult",
    "LetterFilter",
    "LetterGroup",
    "Migrated",
    "OrganizationState",
    "PauseResult",
    "ReplayResult",
    "Resent",
    "ResumeResult",
    "RetryResult",
    "ShownLetters",
    "Story",
    "SwitchResult",
    "Throttle",
    "ThrottleResult",
    "Topology",
    "UnitReview",
    "WaitingFilter",
    "announce",
    "announce_resent",
    "audit",
    "audit_expected",
    "audit_time",
    "cache_use",
    "canary",
    "channels",
    "circuit_subject",
    "circuits",
    "compare",
    "declare",
    "disable",
    "drop",
    "enable",
    "erase",
    "explain",
    "fleet_checks",
    "fleet_view",
    "force_circuit",
    "list_dead",
    "migrate",
    "objective_states",
    "organizations",
    "pause",
    "paused",
    "plan",
    "preview",
    "publish",
    "purge",
    "replay",
    "resend",
    "reset_circuit",
    "reset_throttle",
    "resume",
    "retry",
    "review_units",
    "run_checks",
    "sample",
    "set_throttle",
    "show_dead",
    "show_destination",
    "snapshot",
    "suppress",
    "suppressed",
    "throttles",
    "troubled",
    "unmatched",
    "unsuppress",
]
