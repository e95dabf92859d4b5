"""What authors of recipes import: everything a new kind of notification needs, from one place that stays."""

from notification_sender.context.graph import MISSING, Missing, Recipe
from notification_sender.context.upstream import BadAnswer, Foreign, NotFound, Upstream
from notification_sender.model.errors import SchemaViolation
from notification_sender.model.unit import WorkUnit

__all__ = [
    "MISSING",
    "BadAnswer",
    "Foreign",
    "Missing",
    "NotFound",
    "Recipe",
    "SchemaViolation",
    "Upstream",
    "WorkUnit",
]
