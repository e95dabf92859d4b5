"""Context and templates become what a recipient reads; also, which names a template reads."""

import hashlib
import posixpath
import re
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import css_inline
import orjson
from jinja2 import Template

from notification_sender.model.errors import ConfigurationFault, RenderFault
from notification_sender.render.filters import tojson
from notification_sender.render.plain import plain
from notification_sender.render.sandbox import Channels, Sandbox

MAX_BYTES = 1024 * 1024
"""Of all parts of one notification, UTF-8: a parked one is read back with at most four times that."""

COMBINATIONS = 1024
"""Of templates, for which it is kept what they read together."""

_PACKAGE = Path(__file__).parent.parent

# Mail clients drop <style>; at-rules (dark mode) cannot be inlined and stay. Never fetches anything.
_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)

_STYLED = re.compile("<style", re.IGNORECASE)

MADE = {"txt": "html"}
"""Parts that need no file: where a template has none, it is made from the other part."""


def shipped() -> Path:
    """The templates that come with the package: inside a wheel, beside the package in a working tree."""
    inside = _PACKAGE / "templates"
    return inside if inside.is_dir() else _PACKAGE.parent / "templates"


class Renderer:
    """Every template of a folder, compiled once.

    ``<folder>/<template>/<channel>.<part>.j2`` is one part of a channel's message; any other ``.j2`` file is there
    to be included, imported or extended, by a path relative to the file that names it. A part called ``json`` is
    the ``data`` of a webhook payload; one called ``txt`` may be left out where there is ``html``. Templates are the
    operator's code: the sandbox keeps them from the interpreter, a clock and dice, but limits only their output, not
    their CPU time.

    Raises:
        ConfigurationFault: all that is wrong with the folder, with files and lines.

    """

    def __init__(self, *, folder: Path, channels: Channels) -> None:
        self._folder = folder
        self._sandbox = Sandbox(folder, channels)
        self._channels = channels
        self._templates: dict[tuple[str, str], dict[str, Template]] = {}
        self._names: dict[tuple[str, str], frozenset[str]] = {}
        self._versions: dict[tuple[str, str], str] = {}
        self.names_of: Callable[[frozenset[tuple[str, str]]], frozenset[str]] = lru_cache(COMBINATIONS)(self._names_of)
        """The names that several read, each a template and a channel. One that is not there reads nothing."""
        faults = self._compile()
        if not faults:
            faults = self._assemble(channels)
        if faults:
            raise ConfigurationFault("\n".join(faults))

    def _compile(self) -> list[str]:
        files = self._files()
        if not files:
            return [f"{self._folder}: no templates (a folder with files like email.txt.j2 for each kind)"]
        return [fault for file in files for fault in self._sandbox.compile_faults(file)]

    def _assemble(self, channels: Channels) -> list[str]:
        files = set(self._files())
        templates = sorted({posixpath.dirname(file) for file in files})
        wanted = {
            (template, channel): _written({part: f"{template}/{channel}.{part}.j2" for part in parts}, files)
            for template in templates
            for channel, parts in channels.items()
        }
        for key, parts in wanted.items():
            if files.issuperset(parts.values()):
                self._templates[key] = {part: self._sandbox.get_template(file) for part, file in parts.items()}
                self._names[key] = self._sandbox.reads(*parts.values())
                self._versions[key] = _version(self._sandbox.texts(*parts.values()))
        return [
            f"{missing} is missing: {channel} wants {', '.join(parts)}"
            for (_, channel), parts in wanted.items()
            for missing in sorted(set(parts.values()) - files)
            if not files.isdisjoint(parts.values())
        ]

    def _files(self) -> list[str]:
        return self._sandbox.list_templates(filter_func=lambda file: file.endswith(".j2"))

    def names(self, template: str, channel: str) -> frozenset[str]:
        """The names of the context that the template reads for this channel, through all it includes.

        Never too few; too many where a file sets a name itself, in a branch or for what it includes.

        Raises:
            RenderFault: there is no such template.

        """
        try:
            return self._names[template, channel]
        except KeyError:
            raise self._unknown(template, channel) from None

    def reads(self, template: str, channel: str) -> frozenset[str]:
        """As ``names``; one that is not there reads nothing."""
        return self._names.get((template, channel), frozenset())

    def _names_of(self, templates: frozenset[tuple[str, str]]) -> frozenset[str]:
        return frozenset().union(*(self._names.get(it, ()) for it in templates))

    def version(self, template: str, channel: str) -> str:
        """A hash of all files that the template consists of for this channel; empty where there is no such template."""
        return self._versions.get((template, channel), "")

    def common(self, channels: Collection[str] | None) -> frozenset[str]:
        """What every template reads for these channels (None: for all)."""
        read = [names for (_, channel), names in self._names.items() if channels is None or channel in channels]
        return frozenset.intersection(*read) if read else frozenset()

    def render(self, template: str, channel: str, context: Mapping[str, Any]) -> dict[str, str]:
        """The text of each part. ``context`` holds all ``names``; for a ``json`` part ``unit`` and ``timestamp``.

        Raises:
            RenderFault: no such template; a name is missing; a template fails (file and line are named); a
                ``json`` part is no JSON object; more than ``MAX_BYTES``.

        """
        parts = self._templates.get((template, channel))
        if parts is None:
            raise self._unknown(template, channel)
        content = {part: self._part(part, compiled, context) for part, compiled in parts.items()}
        for part in self._channels[channel].keys() - parts.keys():
            source = MADE[part]
            # Once more through the parser of a browser: what comes out of it is well-formed, and read in linear time.
            content[part] = plain(_inlined(content[source], parts[source]))
        size = sum(_bytes(text, parts.get(part) or parts[MADE[part]]) for part, text in content.items())
        if size > MAX_BYTES:
            raise RenderFault(f"{template}: {size} bytes for {channel}, at most {MAX_BYTES}")
        return content

    def _part(self, part: str, template: Template, context: Mapping[str, Any]) -> str:
        text = _text(template, context)
        if part == "json":
            return _sealed(text, template, context)
        if self._sandbox.is_html(template.name) and _STYLED.search(text):
            return _inlined(text, template)
        return text

    def _unknown(self, template: str, channel: str) -> RenderFault:
        known = ", ".join(sorted({name for name, _ in self._templates})) or "none"
        return RenderFault(f"no template {template!r} for {channel} in {self._folder} (there are: {known})")


def _written(named: dict[str, str], files: set[str]) -> dict[str, str]:
    """Without the parts that need no file and have none."""
    return {part: file for part, file in named.items() if file in files or MADE.get(part) not in named}


def _version(texts: Mapping[str, str]) -> str:
    return hashlib.sha256(orjson.dumps(sorted(texts.items()))).hexdigest()[:12]


def _text(template: Template, context: Mapping[str, Any]) -> str:
    """One part; a loop that would fill the memory is stopped."""
    pieces, size = [], 0
    try:
        for piece in template.generate(context):
            pieces.append(piece)
            size += len(piece)
            if size > MAX_BYTES:
                break
    except Exception as fault:  # noqa: BLE001 - a template may do anything, and only its notification may suffer
        raise RenderFault(f"{_where(fault, template)}: {fault or type(fault).__name__}") from None
    if size > MAX_BYTES:
        raise RenderFault(f"{template.name}: more than {MAX_BYTES} bytes")
    return "".join(pieces)


def _where(fault: BaseException, template: Template) -> str:
    """File and line of the innermost template that was running."""
    place, step = template.name or "", fault.__traceback__
    while step is not None:
        file = Path(step.tb_frame.f_code.co_filename)
        if file.suffix == ".j2":
            place = f"{'/'.join(file.parts[-2:])} line {step.tb_lineno}"
        step = step.tb_next
    return place


def _inlined(html: str, template: Template) -> str:
    try:
        return _INLINER.inline(html)
    except (css_inline.InlineError, UnicodeEncodeError) as fault:
        raise RenderFault(f"{template.name}: {fault}") from None


def _bytes(text: str, template: Template) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise RenderFault(f"{template.name}: a lone surrogate is no character") from None


def _sealed(data: str, template: Template, context: Mapping[str, Any]) -> str:
    """The payload of Standard Webhooks around ``data``, once and for all: what is signed is what is sent."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as fault:
        raise RenderFault(f"{template.name}: not JSON: {fault}") from None
    if not isinstance(value, dict):
        raise RenderFault(f"{template.name}: a JSON object is wanted, not {type(value).__name__}")
    # As it was written: written again, it would cost as much again, and a number of twenty digits would change.
    return f'{{"type":{tojson(context["unit"].event)},"timestamp":{tojson(context["timestamp"])},"data":{data}}}'
