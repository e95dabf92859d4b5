"""Prints the effective settings, and generates the reference page of all settings."""

import os
from typing import TYPE_CHECKING, Annotated, Literal, get_args, get_origin

import typer

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

HEAD = """\
# Settings

Generated from the code by `make docs`.

All settings are environment variables; the worker never reads a `.env` file. An empty variable counts as not set.
The worker reports all faults at once, in one message, with exit code 78. An unknown `NS_` variable is a fault, too.
It ignores variables that Kubernetes injects for a service (`NS_…_SERVICE_HOST`, `NS_…_SERVICE_PORT…`, `NS_…_PORT…`).

Variables marked * are secrets. Each may be given as a file instead, `NS_AMQP_URL_FILE=/run/secrets/amqp`;
one newline at the end of the file is not part of the secret. Secrets are never printed: `amqp://user:***@host/vhost`.

| variable | default | format | purpose |
|---|---|---|---|"""


def settings(
    *, markdown: Annotated[bool, typer.Option("--markdown", help="Print the reference page of all settings.")] = False
) -> None:
    """Print the effective settings, with secrets redacted."""
    from notification_sender.settings import Settings  # noqa: PLC0415 - not paid by --help

    if markdown:
        print(page())
    else:
        print("\n".join(f"{name}={value}" for name, value in Settings.load(os.environ).effective().items()))


def page() -> str:
    """The reference page, in Markdown."""
    from notification_sender.settings import constraints, loading  # noqa: PLC0415 - not paid by --help

    secrets = loading.secrets()
    rows = [_row(name, field, secret=name in secrets) for name, field in loading.variables().items()]
    rules = [
        f"- `NS_{it.option.upper()}` must be {'at least' if it.equal else 'longer than'} `NS_{it.other.upper()}`; "
        f"otherwise {it.why}."
        for it in constraints.RELATIONS
    ]
    return "\n".join([HEAD, *rows, "", "## Relations", "", *rules])


def _row(name: str, field: "FieldInfo", *, secret: bool) -> str:
    default = "required" if field.is_required() else f"`{field.default}`" if field.default else "none"
    return f"| `{name}`{' *' if secret else ''} | {default} | {_form(field)} | {field.description} |"


def _form(field: "FieldInfo") -> str:
    """The format of a field, from its type, its choices or its bounds."""
    from notification_sender.settings.formats import Form  # noqa: PLC0415 - not paid by --help

    members = get_args(field.annotation)
    hints = [*field.metadata, *(hint for member in members for hint in getattr(member, "__metadata__", ()))]
    forms = [hint.text for hint in hints if isinstance(hint, Form)]
    if get_origin(field.annotation) is Literal:
        return " ".join(f"`{choice}`" for choice in members)
    if field.annotation is int and not forms:
        bounds = {type(hint).__name__: hint for hint in hints}
        return f"{bounds['Ge'].ge} to {bounds['Le'].le}"
    return next(iter(forms), "text")
