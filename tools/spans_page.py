"""docs/reference/spans.md: every span, with its parent, links and attributes."""

from collections.abc import Iterator

from notification_sender.telemetry.span_names import ATTRIBUTES, SCHEMA, SPANS, Declared
from tools.tables import table

HEAD = f"""\
# Spans

<!-- Written by `make docs` from notification_sender/telemetry/span_names.py: change that file. -->

Which spans does a worker export, and what do their attributes mean? Names follow the semantic conventions of
OpenTelemetry (`{SCHEMA}`). No attribute has content, addresses or secrets. So
`url.full` and `server.address`
are missing: the URL of a webhook may hold a secret.

How to get them: [trace a work unit](../how-to/traces.md).
"""


def page() -> str:
    """The whole page."""
    head = ("span", "kind", "parent", "links", "meaning")
    spans = table(head, map(_row, SPANS))
    return "\n".join((HEAD, "## Spans", "", *spans, "", "## Attributes", "", *_attributes(), ""))


def _row(it: Declared) -> tuple[str, ...]:
    return f"`{it.name}`", it.kind, it.parent, it.links, it.text


def _attributes() -> Iterator[str]:
    rows = (
        (f"`{name}`", text, ", ".join(f"`{it.name}`" for it in SPANS if name in it.attributes))
        for name, text in ATTRIBUTES.items()
    )
    yield from table(("attribute", "meaning", "spans"), rows)
