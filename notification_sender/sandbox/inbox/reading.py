"""Makes arrivals readable: JSON in colours, a ``curl`` command, parts of an email. Any input may be hostile."""

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
"""Characters of a body that the page shows at most. More would make a browser slow."""

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
    """Format a JSON body with one field on each line; None: it is no JSON."""
    try:
        return json.dumps(json.loads(body), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return None


def coloured(text: str) -> Markup:
    """Format JSON as HTML, each token in a ``span`` of its kind. Everything is escaped: ``</script>`` is text."""
    parts, end = list[Markup](), 0
    for token in TOKEN.finditer(text[:SHOWN]):
        parts.append(escape(text[end : token.start()]))
        parts.append(Markup('<span class="{}">{}</span>').format(token.lastgroup, token.group()))
        end = token.end()
    return Markup("").join([*parts, escape(text[end:SHOWN])])


def curl(url: str, headers: Iterable[tuple[str, str]], body: bytes) -> str:
    """Return a command that sends the webhook again, byte for byte.

    It uses ``--data-raw``: with ``--data``, a body that starts with ``@`` would make curl send a local file.
    """
    given = [f"-H {shlex.quote(f'{name}: {value}' if value else f'{name};')}" for name, value in _own(headers)]
    line = " \\\n  ".join([f"curl -sS -i {shlex.quote(url)}", *given])
    text = _plain(body)
    if text is not None:
        return f"{line} \\\n  --data-raw {shlex.quote(text)}"
    return f"echo {base64.b64encode(body).decode()} | base64 -d | {line} \\\n  --data-binary @-"


def readable(value: object) -> str:
    """Decode the encoded words of an email header, on one line. A broken header is returned as it is."""
    text = str(value or "")
    with suppress(LookupError, ValueError, MessageError):
        text = str(make_header(decode_header(text)))
    return " ".join(text.split())


def part(message: EmailMessage, kind: Literal["html", "plain"]) -> str | None:
    """Return the body of this kind; None: there is none that can be read."""
    try:
        body = message.get_body((kind,))
        return None if body is None else str(body.get_content())
    except (LookupError, ValueError, AttributeError):  # an unknown charset, or parts that are none
        return None


def in_scheme(html: str, scheme: str) -> str:
    """Show an email as a device in ``light`` or ``dark`` mode would, whatever the mode of this browser is.

    The style sheet uses a media query. It is replaced by a query that is always, or never, true.
    """
    return SCHEME.sub(lambda asked: "(min-width: 0)" if asked[1].lower() == scheme else "(max-width: 0)", html)


def _own(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in OF_THE_CONNECTION]


def _plain(body: bytes) -> str | None:
    """Return a body as text if a terminal and a clipboard preserve it, else None."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if CONTROL.search(text) else text
