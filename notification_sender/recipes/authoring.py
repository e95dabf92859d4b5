"""What authors of recipes import: everything a new kind of notification needs, from one place that stays."""

from notification_sender.context.recipe import Recipe
from notification_sender.context.source import MISSING, Missing
from notification_sender.context.upstream.api import Api
from notification_sender.context.upstream.client import Upstream
from notification_sender.context.upstream.errors import BadAnswer, BadRecord, Foreign, NotFound
from notification_sender.model.errors import SchemaViolation
from notification_sender.model.unit import WorkUnit

__all__ = [
    "MISSING",
    "Api",
    "BadAnswer",
    "BadRecord",
    "Foreign",
    "Missing",
    "NotFound",
    "Recipe",
    "SchemaViolation",
    "Upstream",
    "WorkUnit",
]
