"""Makes arrivals readable: JSON in lines and colours, a ``curl`` command, the parts of an email. All may be hostile."""

import base64
import json
import re
import shlex
from collections.abc import Iterable
from contextlib import suppress
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import EmailMessage
from typing import Literal

from markupsafe import Markup, escape

SHOWN = 256 * 1024
"""Characters of a body that the page shows: more would make a browser slow."""

TOKEN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*")(?=:)'
    r'|(?P<string>"(?:[^"\\]|\\.)*")'
    r"|(?P<number>-?\d[\d.eE+-]*)"
    r"|(?P<word>\b(?:true|false|null)\b)"
)
OF_THE_CONNECTION = ("host", "content-length", "accept-encoding", "connection", "transfer-encoding")
"""Headers that curl writes itself."""
CONTROL = re.compile(r"[^\S\n\t ]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
SCHEME = re.compile(r"\(\s*prefers-color-scheme\s*:\s*(light|dark)\s*\)", re.IGNORECASE)


def pretty(body: bytes) -> str | None:
    """The JSON of a body with a field a line, None where it is no JSON."""
    try:
        return json.dumps(json.loads(body), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return None


def coloured(text: str) -> Markup:
    """JSON as HTML, each token in a ``span`` of its kind. Everything is escaped, so that ``</script>`` is text."""
    parts, end = list[Markup](), 0
    for token in TOKEN.finditer(text[:SHOWN]):
        parts.append(escape(text[end : token.start()]))
        parts.append(Markup('<span class="{}">{}</span>').format(token.lastgroup, token.group()))
        end = token.end()
    return Markup("").join([*parts, escape(text[end:SHOWN])])


def curl(url: str, headers: Iterable[tuple[str, str]], body: bytes) -> str:
    """A command that sends the webhook again, byte for byte, whatever stands in it.

    ``--data-raw``: with ``--data`` a body that starts with ``@`` would have curl send a file of the reader's machine.
    """
    given = [f"-H {shlex.quote(f'{name}: {value}' if value else f'{name};')}" for name, value in _own(headers)]
    line = " \\\n  ".join([f"curl -sS -i {shlex.quote(url)}", *given])
    text = _plain(body)
    if text is not None:
        return f"{line} \\\n  --data-raw {shlex.quote(text)}"
    return f"echo {base64.b64encode(body).decode()} | base64 -d | {line} \\\n  --data-binary @-"


def readable(value: object) -> str:
    """A header of an email with its encoded words decoded, on one line; as it came where they are broken."""
    text = str(value or "")
    with suppress(LookupError, ValueError, MessageError):
        text = str(make_header(decode_header(text)))
    return " ".join(text.split())


def part(message: EmailMessage, kind: Literal["html", "plain"]) -> str | None:
    """The body of that kind, None where there is none that can be read."""
    try:
        body = message.get_body((kind,))
        return None if body is None else str(body.get_content())
    except (LookupError, ValueError, AttributeError):  # an unknown charset, or parts that are none
        return None


def in_scheme(html: str, scheme: str) -> str:
    """An email as a reader sees it whose device is ``light`` or ``dark``, whatever the one is that shows it here.

    A style sheet asks by a media query: it becomes one that always, or never, holds.
    """
    return SCHEME.sub(lambda asked: "(min-width: 0)" if asked[1].lower() == scheme else "(max-width: 0)", html)


def _own(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in OF_THE_CONNECTION]


def _plain(body: bytes) -> str | None:
    """The text of a body that survives a terminal and a clipboard, None where it would not."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if CONTROL.search(text) else text
