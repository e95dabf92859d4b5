"""Pages and files that are written from code: ``python -m tools.pages`` writes them, a test compares them."""

from collections.abc import Callable, Mapping
from pathlib import Path

from tools import log_events, metrics_page, spans_page
from tools.observability import dashboard, objectives, rules

ROOT = Path(__file__).parents[1]

WRITTEN: Mapping[str, Callable[[], str]] = {
    "docs/reference/metrics.md": metrics_page.page,
    "docs/reference/log-events.md": log_events.page,
    "notification_sender/policy/declared_objectives.py": lambda: objectives.module(objectives.load()),
    "docs/reference/spans.md": spans_page.page,
    "deploy/observability/rules.yaml": lambda: rules.page(objectives.load()),
    "deploy/observability/dashboard.json": lambda: dashboard.page(objectives.load()),
    # A chart cannot read files outside of its folder.
    "deploy/helm/notification-sender/files/rules.yaml": lambda: rules.page(objectives.load()),
    "deploy/helm/notification-sender/files/dashboard.json": lambda: dashboard.page(objectives.load()),
}
"""By path."""


def main() -> None:
    """Write all of them."""
    for path, page in WRITTEN.items():
        (ROOT / path).write_text(page())
        print(path)


if __name__ == "__main__":
    main()
