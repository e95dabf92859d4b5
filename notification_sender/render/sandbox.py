"""Jinja as we use it: closed, strict, and able to say what a template reads."""

import posixpath
from collections.abc import Iterator, Mapping, MutableMapping
from datetime import date
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from notification_sender.model.errors import ConfigurationFault
from notification_sender.render.filters import FILTERS

Channels = Mapping[str, Mapping[str, bool]]
"""Of every channel, by name: its parts, and whether each is HTML."""

_CLOCKS = frozenset({"now", "today", "utcnow"})


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja as we use it: strict, closed, compiled once, escaping by what a part is and not by its file name."""

    def __init__(self, folder: Path, channels: Channels) -> None:
        self._html = {f"{channel}.{part}" for channel, parts in channels.items() for part in parts if parts[part]}
        self._html_parts = {name.partition(".")[2] for name in self._html}
        self._known = {f"{channel}.{part}" for channel, parts in channels.items() for part in parts}
        self._folder = FileSystemLoader(folder)
        super().__init__(
            loader=self._folder,
            undefined=StrictUndefined,
            autoescape=self.is_html,
            auto_reload=False,
            cache_size=-1,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        # Rendering the same context again gives the same bytes.
        del self.filters["random"], self.globals["lipsum"]
        self.filters.update(FILTERS)

    def is_html(self, file: str | None) -> bool:
        """As the channel says; of a file that is no channel's part, by its last word: ``row.html.j2``."""
        name = posixpath.basename(file or "").removesuffix(".j2")
        return name in self._html if name in self._known else name.rpartition(".")[2] in self._html_parts

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """Plain, because nobody changes them any more: Jinja's chain of two is walked for each part, and slowly."""
        return {**self.globals, **(d or {})}

    def join_path(self, template: str, parent: str) -> str:
        return posixpath.normpath(posixpath.join(posixpath.dirname(parent), template))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return super().is_safe_attribute(obj, attr, value) and not (isinstance(obj, date) and attr in _CLOCKS)

    def compile_faults(self, file: str) -> Iterator[str]:
        """Compile one file and look at all that it names; says what is wrong."""
        try:
            self.get_template(file)
            self.reads(file)
        except TemplateSyntaxError as fault:
            yield f"{fault.name} line {fault.lineno}: {fault.message}"
        except (TemplateError, UnicodeDecodeError, ConfigurationFault) as fault:
            yield f"{file}: {fault}"

    def texts(self, *files: str) -> dict[str, str]:
        """What stands in these files and in all that they refer to, by file."""
        texts: dict[str, str] = {}
        more = [*files]
        while more:
            file = more.pop()
            if file not in texts:
                texts[file], _, _ = self._folder.get_source(self, file)
                tree = self.parse(texts[file], file)
                more += [self._referenced(name, file) for name in meta.find_referenced_templates(tree)]
        return texts

    def reads(self, *files: str) -> frozenset[str]:
        """The names that these files and all that they refer to look up in the context."""
        trees = [self.parse(text, file) for file, text in self.texts(*files).items()]
        return frozenset().union(*map(meta.find_undeclared_variables, trees)).difference(self.globals)

    def _referenced(self, name: str | None, file: str) -> str:
        if name is None:
            raise ConfigurationFault("refers to a file by a computed name: what that reads cannot be known")
        other = self.join_path(name, file)
        # What a macro prints is trusted by its caller: unescaped text would enter HTML unseen.
        if self.is_html(other) != self.is_html(file):
            raise ConfigurationFault(f"one of it and {other} is HTML, the other is not")
        return other
