"""The table of every span and of its attributes: docs/reference/spans.md is written from it.

Names follow the semantic conventions of OpenTelemetry where these have one. No attribute has content, addresses or
secrets.
"""

from collections.abc import Mapping
from dataclasses import dataclass

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
"""The version of the semantic conventions."""

PREFIX = "notification_sender."
STEP = PREFIX + "step."
"""Before the name of a step: its seconds."""

ATTRIBUTES: Mapping[str, str] = {
    "messaging.system": "`rabbitmq`",
    "messaging.operation.name": "`publish` or `process`",
    "messaging.operation.type": "`send` or `process`",
    "messaging.destination.name": "queue",
    "http.request.method": "method of the call",
    "http.response.status_code": "status of the answer",
    "url.template": "path of the call, without ids",
    "error.type": "why it failed: the reason, the status, or `timeout` and the like",
    PREFIX + "api": "internal API, such as `assets`",
    PREFIX + "organization.id": "organization",
    PREFIX + "work_unit.id": "work unit",
    PREFIX + "notification.id": "notification: the same as `webhook-id`",
    PREFIX + "destination.id": "destination",
    PREFIX + "kind": "recipe",
    PREFIX + "event": "`event` of the work unit",
    PREFIX + "channel": "`webhook` or `email`",
    PREFIX + "attempt": "number of the attempt, from 1 on",
    PREFIX + "outcome": "as `outcome` in the log; `done` of a work unit whose notifications have ended or wait",
    PREFIX + "reason": "as `reason` in the log",
    PREFIX + "phase.wait": "s, wait of the call for a slot, before the span",
    PREFIX + "phase.connect": "s, until a connection was open",
    PREFIX + "phase.first_byte": "s, from the request to the first byte of the answer",
    PREFIX + "phase.body": "s, from the first to the last byte",
    STEP + "…": "s by [step](../explanation/the-steps.md), of this attempt and of the waits before it",
}
"""By name."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One span."""

    name: str
    kind: str
    parent: str
    text: str
    links: str = ""
    attributes: tuple[str, ...] = ()


_MESSAGING = tuple(it for it in ATTRIBUTES if it.startswith("messaging."))
_IDS = tuple(PREFIX + it for it in ("organization.id", "work_unit.id", "kind", "event"))
_NOTIFICATION = tuple(PREFIX + it for it in ("notification.id", "destination.id", "channel"))
_END = tuple(PREFIX + it for it in ("attempt", "outcome", "reason"))
_PHASES = tuple(it for it in ATTRIBUTES if it.startswith(PREFIX + "phase."))

SPANS = (
    Declared(
        "publish QUEUE",
        "producer",
        "`TRACEPARENT`, if it is set",
        "`notification-sender publish` has published one work unit. Other publishers have their own span here.",
        attributes=_MESSAGING,
    ),
    Declared(
        "process UNITS QUEUE",
        "consumer",
        "`publish`",
        "One delivery of a work unit, from its slot on. Its events say when it came into which step.",
        "the delivery before, if the work unit was deferred",
        (*_MESSAGING, *_IDS, *_END, STEP + "…", "error.type"),
    ),
    Declared(
        "METHOD PATH",
        "client",
        "the delivery or the attempt that asked first",
        "One call of an internal API, one span a try.",
        "all other deliveries of this process that waited for it",
        ("http.request.method", "url.template", "http.response.status_code", PREFIX + "api", *_PHASES, "error.type"),
    ),
    Declared(
        "create notification",
        "producer",
        "`process` of the work unit",
        "A notification was rendered.",
        attributes=(*_IDS, *_NOTIFICATION),
    ),
    Declared(
        "attempt CHANNEL",
        "consumer",
        "`create notification`",
        "One attempt of a notification, up to its record. Its events say when it came into which step.",
        "the attempt before",
        (*_MESSAGING, *_IDS, *_NOTIFICATION, *_END, STEP + "…", "error.type"),
    ),
    Declared(
        "send CHANNEL",
        "client",
        "`attempt`",
        "From the first look at the recipient's host to its answer.",
        attributes=("http.response.status_code", "error.type"),
    ),
)
