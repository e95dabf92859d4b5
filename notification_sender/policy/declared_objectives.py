"""The objectives of deploy/observability/objectives.yaml. `make docs` writes this file."""

LEAST_OBSERVATIONS = 100

OBJECTIVES: tuple[tuple[str, float, float], ...] = (
    ("end_to_end", 120.0, 0.99),
    ("queue_wait", 30.0, 0.99),
    ("claim", 0.25, 0.999),
    ("context.organization", 2.5, 0.999),
    ("context.current_entry", 2.5, 0.999),
    ("context.incident", 2.5, 0.999),
    ("context.intel_request", 2.5, 0.999),
    ("context.dependents", 2.5, 0.999),
    ("context.assets", 2.5, 0.999),
    ("context.unit_assets", 2.5, 0.999),
    ("render", 0.25, 0.999),
    ("admit", 0.25, 0.999),
    ("throttle_wait", 60.0, 0.95),
    ("send.webhook", 10.0, 0.95),
    ("send.email", 10.0, 0.95),
    ("record", 0.25, 0.999),
    ("api.aaa", 1.0, 0.999),
    ("api.incidents", 1.0, 0.999),
    ("api.intel_requests", 1.0, 0.999),
    ("api.assets", 1.0, 0.999),
)
"""Step, seconds, and the part of what is observed that must be within them."""
