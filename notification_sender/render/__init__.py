"""Render the parts of a notification from context and templates, and find the names that a template reads."""

import hashlib
import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import css_inline
import orjson
from jinja2 import Template

from notification_sender.model.errors import ConfigurationFault, RenderFault
from notification_sender.render import markup
from notification_sender.render.data import Plain
from notification_sender.render.environment import Channels, TemplateEnvironment
from notification_sender.render.faults import describe, location
from notification_sender.render.filters import tojson
from notification_sender.render.plain_text import plain

MAX_BYTES = 1024 * 1024
"""Of all parts of one notification in UTF-8."""

CACHED_COMBINATIONS = 1024
"""Combinations of templates for which the worker caches the names that they read together."""

_PACKAGE = Path(__file__).parent.parent

# Mail clients drop <style>, so rules go into the elements. At-rules (dark mode) cannot be inlined and stay.
_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)

_STYLED = re.compile("<style", re.IGNORECASE)

DERIVED_PARTS = {"txt": "html"}
"""Parts that need no file. The worker makes such a part from the other part."""


LEFT_OUT_SUFFIX = ".none"
"""Suffix of the file ``<template>/<channel>.none``: the template leaves out that channel on purpose."""


def shipped() -> Path:
    """Return the folder of the shipped templates: inside a wheel, or beside the package in a working tree."""
    inside = _PACKAGE / "templates"
    return inside if inside.is_dir() else _PACKAGE.parent / "templates"


class Renderer:
    """All templates of a folder, compiled once. Renders one part at a time, so it serves one thread.

    - ``<folder>/<template>/<channel>.<part>.j2`` is one part of a channel's message. A part called ``json`` is the
      ``data`` of a webhook payload. A part called ``txt`` may be missing where there is ``html``.
    - ``<folder>/<template>/<channel>.none`` says that the template leaves out that channel.
    - Other ``.j2`` files are included, imported or extended, by a path relative to the file that names them.

    ``TemplateEnvironment`` keeps templates from the interpreter, a clock and random numbers. It limits their output,
    steps, memory and time (``meter``).
    """

    def __init__(self, *, folder: Path, channels: Channels, later: bool = False) -> None:
        """``later``: nothing is compiled yet, and the caller calls ``compile`` before anything else.

        Raises:
            ConfigurationFault: as ``compile``.
        """
        self._folder = folder
        self._environment = TemplateEnvironment(folder, channels)
        self._channels = channels
        self._plain = Plain()
        self._templates: dict[tuple[str, str], dict[str, Template]] = {}
        self._left_out: set[tuple[str, str]] = set()
        self._names: dict[tuple[str, str], frozenset[str]] = {}
        self._versions: dict[tuple[str, str], str] = {}
        cached = lru_cache(CACHED_COMBINATIONS)
        self.names_of: Callable[[frozenset[tuple[str, str]]], frozenset[str]] = cached(self._names_of)
        """The names that several templates read, each given with its channel. A missing template reads nothing."""
        if not later:
            self.compile()

    def compile(self) -> None:
        """Compile all templates. It takes 0.1 s of computing.

        Raises:
            ConfigurationFault: the folder has faults; names all of them, with files and lines.
        """
        faults = self._compile()
        if not faults:
            faults = self._assemble(self._channels) + self._leave_out(self._channels)
        if faults:
            raise ConfigurationFault("\n".join(faults))

    def _compile(self) -> list[str]:
        files = self._files()
        if not files:
            return [f"{self._folder}: no templates (a folder with files like email.txt.j2 for each kind)"]
        return [fault for file in files for fault in self._environment.compile_faults(file)]

    def _assemble(self, channels: Channels) -> list[str]:
        files = set(self._files())
        templates = sorted({posixpath.dirname(file) for file in files})
        wanted = {
            (template, channel): _needed({part: f"{template}/{channel}.{part}.j2" for part in parts}, files)
            for template in templates
            for channel, parts in channels.items()
        }
        for key, parts in wanted.items():
            if files.issuperset(parts.values()):
                self._templates[key] = {part: self._environment.get_template(file) for part, file in parts.items()}
                self._names[key] = self._environment.reads(*parts.values())
                self._versions[key] = _version(self._environment.texts(*parts.values()))
        return [
            f"{missing} is missing: {channel} wants {', '.join(parts)}"
            for (_, channel), parts in wanted.items()
            for missing in sorted(set(parts.values()) - files)
            if not files.isdisjoint(parts.values())
        ]

    def _leave_out(self, channels: Channels) -> list[str]:
        faults = []
        for file in self._files(LEFT_OUT_SUFFIX):
            template, _, name = file.removesuffix(LEFT_OUT_SUFFIX).rpartition("/")
            if name not in channels:
                faults.append(f"{file}: there is no channel {name!r}, only {', '.join(sorted(channels))}")
            elif (template, name) in self._templates:
                faults.append(f"{file} leaves out {name}, and a template for {name} exists: remove one of them")
            self._left_out.add((template, name))
        return faults

    def _files(self, ending: str = ".j2") -> list[str]:
        return self._environment.list_templates(filter_func=lambda file: file.endswith(ending))

    def check(self, kinds: Iterable[str], channels: Collection[str]) -> list[str]:
        """Check that every kind has a template for each of ``channels``; return the pairs left out on purpose.

        Raises:
            ConfigurationFault: a template is missing, or a kind is left out for all channels; names the files to make.

        """
        faults, left_out = [], []
        for kind in kinds:
            out = {it for it in channels if self.leaves_out(kind, it)}
            lacks = {it for it in channels if (kind, it) not in self._templates}
            if len(out) == len(channels):
                left = f"kind {kind!r} is left out for {' and '.join(sorted(out))}"
                faults.append(f"{self._folder}: {left}, so for every channel: remove a {LEFT_OUT_SUFFIX} file")
            faults += [self._how_to_fix(kind, it) for it in sorted(lacks - out)]
            left_out += [f"{kind}/{it}" for it in sorted(out)]
        if faults:
            raise ConfigurationFault("\n".join(faults))
        return left_out

    def _how_to_fix(self, kind: str, channel: str) -> str:
        named = {part: f"{kind}/{channel}.{part}.j2" for part in self._channels[channel]}
        make = f"make {' and '.join(_needed(named, set()).values())}"
        never = f"or an empty {kind}/{channel}{LEFT_OUT_SUFFIX} to leave out {channel}"
        return f"{self._folder}: kind {kind!r} has no template for {channel}: {make}, {never}"

    def leaves_out(self, template: str, channel: str) -> bool:
        """Whether a ``.none`` file leaves out this channel."""
        return (template, channel) in self._left_out

    def names(self, template: str, channel: str) -> frozenset[str]:
        """Return the names of the context that the template reads for this channel, also in files that it includes.

        No name is missing. There are too many where a file sets a name itself, in a branch or for an included file.

        Raises:
            RenderFault: the template does not exist.

        """
        try:
            return self._names[template, channel]
        except KeyError:
            raise self._unknown(template, channel) from None

    def reads(self, template: str, channel: str) -> frozenset[str]:
        """Return the same as ``names``; nothing where the template does not exist."""
        return self._names.get((template, channel), frozenset())

    def _names_of(self, templates: frozenset[tuple[str, str]]) -> frozenset[str]:
        return frozenset().union(*(self._names.get(it, ()) for it in templates))

    def version(self, template: str, channel: str) -> str:
        """Hash all files of which the template consists for this channel; empty where the template does not exist."""
        return self._versions.get((template, channel), "")

    def common(self, channels: Collection[str] | None) -> frozenset[str]:
        """Return the names that every template reads for these channels (None: for all)."""
        read = [names for (_, channel), names in self._names.items() if channels is None or channel in channels]
        return frozenset.intersection(*read) if read else frozenset()

    def render(self, template: str, channel: str, context: Mapping[str, Any]) -> dict[str, str]:
        """Render each part. ``context`` holds all ``names``, and ``unit`` and ``timestamp`` for a ``json`` part.

        Raises:
            RenderFault: the template does not exist; a name is missing; a template fails (with file and line); a
                ``json`` part is no JSON object; the parts exceed ``MAX_BYTES``.

        """
        parts = self._templates.get((template, channel))
        if parts is None:
            raise self._unknown(template, channel)
        given = self._plain(context)
        content = {part: self._part(part, compiled, given) for part, compiled in parts.items()}
        for part in self._channels[channel].keys() - parts.keys():
            source = DERIVED_PARTS[part]
            # The inliner has a browser's parser. Its output is well-formed, so that plain() reads it in linear time.
            content[part] = plain(_inlined(content[source], parts[source]))
        size = sum(_bytes(text, parts.get(part) or parts[DERIVED_PARTS[part]]) for part, text in content.items())
        if size > MAX_BYTES:
            raise RenderFault(f"{template}: {size} bytes for {channel}, at most {MAX_BYTES}")
        return content

    def _part(self, part: str, template: Template, context: Mapping[str, Any]) -> str:
        text = self._text(template, context)
        if part == "json":
            if text != self._environment.meter.json:
                _check_object(text, template)
            return _payload(text, context)
        if self._environment.is_html(template.name) and _STYLED.search(text):
            return _inlined(text, template)
        return text

    def _text(self, template: Template, context: Mapping[str, Any]) -> str:
        pieces, size = [], 0
        self._environment.meter.start()
        try:
            for piece in _generated(template, context):
                pieces.append(piece)
                size += len(piece)
                if size > MAX_BYTES:
                    break
        except Exception as fault:  # noqa: BLE001 - a template may raise anything, and only its notification may fail
            raise RenderFault(f"{location(fault, template)}: {describe(fault, self._environment.words)}") from None
        if size > MAX_BYTES:
            raise RenderFault(f"{template.name}: more than {MAX_BYTES} bytes")
        return "".join(pieces)

    def _unknown(self, template: str, channel: str) -> RenderFault:
        known = ", ".join(sorted({name for name, _ in self._templates})) or "none"
        return RenderFault(f"no template {template!r} for {channel} in {self._folder} (there are: {known})")


def _generated(template: Template, context: Mapping[str, Any]) -> Iterator[str]:
    """Do the same as ``Template.generate``, without the reference cycle that it leaves.

    Macros are in their context and hold it. The context and all its values would stay until a full garbage collection.
    """
    made = template.new_context(dict(context))
    try:
        yield from template.root_render_func(made)
    except Exception:  # noqa: BLE001 - raised again, with the lines of the template
        yield template.environment.handle_exception()
    finally:
        made.vars.clear()


def _needed(named: dict[str, str], files: set[str]) -> dict[str, str]:
    """Return ``named`` without the parts that need no file and have none."""
    return {part: file for part, file in named.items() if file in files or DERIVED_PARTS.get(part) not in named}


def _version(texts: Mapping[str, str]) -> str:
    return hashlib.sha256(orjson.dumps(sorted(texts.items()))).hexdigest()[:12]


def _inlined(html: str, template: Template) -> str:
    try:
        markup.check(html)
        return _INLINER.inline(html)
    except markup.Unreadable as fault:
        raise RenderFault(f"{template.name}: {fault}") from None
    except (css_inline.InlineError, UnicodeEncodeError) as fault:
        raise RenderFault(f"{template.name}: {type(fault).__name__}") from None


def _bytes(text: str, template: Template) -> int:
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise RenderFault(f"{template.name}: a lone surrogate is no character") from None


def _check_object(data: str, template: Template) -> None:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as fault:
        raise RenderFault(f"{template.name}: not JSON: line {fault.lineno} column {fault.colno}") from None
    if not isinstance(value, dict):
        raise RenderFault(f"{template.name}: a JSON object is wanted, not {type(value).__name__}")


def _payload(data: str, context: Mapping[str, Any]) -> str:
    """Put the payload of Standard Webhooks around ``data``. These bytes are signed and sent, without any change."""
    # Not written anew from its value: that takes as long again, and changes a number of twenty digits.
    return f'{{"type":{tojson(context["unit"]["event"])},"timestamp":{tojson(context["timestamp"])},"data":{data}}}'
