"""The Jinja environment: an allowlist, strict, metered, and able to list the names that a template reads."""

import posixpath
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import (
    FileSystemLoader,
    StrictUndefined,
    TemplateError,
    TemplateSyntaxError,
    Undefined,
    meta,
    nodes,
    pass_eval_context,
)
from jinja2.environment import TemplateModule
from jinja2.runtime import Context, Macro
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import Namespace, missing
from markupsafe import Markup, escape

from notification_sender.model.errors import ConfigurationFault
from notification_sender.render import metering
from notification_sender.render.allowed import FREE, OF_JINJA, attributes, check_call, check_copied
from notification_sender.render.filters import FILTERS
from notification_sender.render.meter import CONTAINERS, SHORT, TEXTS, Meter, Refused
from notification_sender.render.operators import INTERCEPTED, calculate, filters, tests

Channels = Mapping[str, Mapping[str, bool]]
"""By name of a channel: its parts, and whether each is HTML."""

_NUMBERS = frozenset({int, float, bool, type(None)})
_MOMENTS = (date, time, timedelta)
_COPYING = (dict, Namespace)
_LOCALS = ("_loop_vars", "_block_vars")


class TemplateEnvironment(SandboxedEnvironment):
    """A Jinja environment that is strict and compiles once. It renders one template at a time.

    A template reads and calls only the names in ``allowed``. ``meter`` counts its work; the caller starts the meter
    before each part. The channel's declaration of a part decides whether it is escaped.
    """

    code_generator_class = metering.Generator
    intercepted_binops = INTERCEPTED

    def __init__(self, folder: Path, channels: Channels) -> None:
        self._html = {f"{channel}.{part}" for channel, parts in channels.items() for part in parts if parts[part]}
        self._html_parts = {name.partition(".")[2] for name in self._html}
        self._known = {f"{channel}.{part}" for channel, parts in channels.items() for part in parts}
        self._folder = FileSystemLoader(folder)
        self.meter = Meter()
        self._sources: dict[str, _Source] = {}
        self.words: set[str] = set()
        """Words of the template files. An error message may repeat these, and no other text."""
        super().__init__(
            loader=self._folder,
            undefined=_absent(self.words),
            autoescape=lru_cache(maxsize=1024)(self.is_html),
            auto_reload=False,
            cache_size=-1,
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
        )
        del self.globals["lipsum"]  # It is random, and the same context must give the same bytes.
        self._free = {id(it) for it in (*FREE, self.globals["range"])}
        self.tests.update(tests(self.meter))
        self.filters.clear()
        self.filters.update(filters(self.meter, FILTERS) | self._inner())

    def _inner(self) -> dict[str, Callable[..., Any]]:
        """Return the filters that ``metering`` puts into templates."""
        return {
            metering.EACH: self.meter.each,
            metering.SPEND: self.meter.spend,
            metering.MADE: self.meter.made,
            metering.BUILT: self.meter.built,
            metering.USED: self._used,
            metering.JOINED: self._joined,
        }

    def is_html(self, file: str | None) -> bool:
        """Whether a file is HTML: as its channel says; a file that is no part, by its ending (``row.html.j2``)."""
        name = posixpath.basename(file or "").removesuffix(".j2")
        return name in self._html if name in self._known else name.rpartition(".")[2] in self._html_parts

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """Return a plain dict: nothing changes the globals any more, and lookups in Jinja's ChainMap are slow."""
        return {**self.globals, **(d or {})}

    def join_path(self, template: str, parent: str) -> str:
        return posixpath.normpath(posixpath.join(posixpath.dirname(parent), template))

    def _generate(self, source: nodes.Template, *more: Any, **named: Any) -> str:
        self.words |= metering.words(source)
        return super()._generate(metering.metered(source), *more, **named)

    # --- operations of templates on values -------------------------------------------------------------------------

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``obj.attribute``: an allowed method, or the item of that name."""
        names = attributes(type(obj))
        if names is None:
            return self._of_another(obj, attribute)
        if attribute in names:
            return getattr(obj, attribute)
        if isinstance(obj, dict):
            try:
                return obj[attribute]
            except KeyError:
                return self.undefined(obj=obj, name=attribute)
        return self._forbidden(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """``obj[argument]``: the item, or the attribute of that name."""
        if isinstance(argument, str) and not isinstance(obj, dict):
            return self.getattr(obj, argument)
        if isinstance(argument, tuple):
            self.meter.used(argument)
        try:
            return _item(obj, argument)
        except (TypeError, LookupError):
            if isinstance(argument, str) and argument in (attributes(type(obj)) or ()):
                return getattr(obj, argument)
            return self.undefined(obj=obj, name=argument)

    def _of_another(self, obj: Any, attribute: str) -> Any:
        """Read an attribute of a value that is not plain: Jinja's objects, objects of a recipe, undefined values."""
        if attribute.startswith("_"):
            return self._forbidden(obj, attribute)
        if isinstance(obj, Undefined):
            return getattr(obj, attribute)  # raises, and names the undefined value
        try:
            if isinstance(obj, TemplateModule):
                return vars(obj)[attribute]
            if isinstance(obj, Namespace):
                return getattr(obj, attribute)
            return _item(obj, attribute)
        except (TypeError, LookupError, AttributeError):
            return self._forbidden(obj, attribute)

    def _forbidden(self, obj: Any, attribute: str) -> Any:
        if not hasattr(type(obj), attribute):
            return self.undefined(obj=obj, name=attribute)
        name = attribute if attribute in self.words else "a name that was computed"
        return self.undefined(f"a template may not read {name} of a {type(obj).__name__}", name="")

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a macro, a block, a global or a method that ``allowed`` names; refuse all others."""
        meter, kind = self.meter, type(obj)
        meter.spend(2)
        if kwargs:
            for name in _LOCALS:
                kwargs.pop(name, None)
        if kind is Macro:  # as Context.call does, without its check of every object for pass_context and the like
            return meter.made(obj(context.eval_ctx, *args, **kwargs))
        if kind not in OF_JINJA and not isinstance(obj, Undefined) and id(obj) not in self._free:
            check_call(meter, obj, args, kwargs)
        elif args and obj in _COPYING:
            check_copied(args)
        return meter.made(obj(*args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ARG002 - as Jinja's
        self.meter.spend(1)
        return calculate(self.meter, operator, left, right)

    def shown(self, value: Any) -> str:
        """Return the text that a template writes for a value."""
        kind = type(value)
        if kind is str:
            if len(value) > SHORT:
                self.meter.text(len(value))
            return value  # type: ignore[no-any-return]
        return self._written(value, kind)

    def escaped(self, value: Any) -> Markup:
        """Return the same text, escaped for HTML."""
        kind = type(value)
        if kind is str or kind is Markup:
            if len(value) > SHORT:
                self.meter.text(len(value))
            return escape(value)
        return escape(value if isinstance(value, TemplateModule) else self._written(value, kind))

    def _written(self, value: Any, kind: type) -> str:
        if kind in _NUMBERS or isinstance(value, (str, Undefined, TemplateModule, *_MOMENTS)):
            return self.meter.made(str(value))  # type: ignore[no-any-return]
        if kind not in CONTAINERS and (callable(value) or kind.__module__.startswith("jinja2")):
            raise Refused(f"a template may not write a {kind.__name__}")
        self.meter.used(value)
        return self.meter.made(str(value))  # type: ignore[no-any-return]

    def _used(self, value: Any) -> Any:
        self.meter.used(value)
        return value

    @pass_eval_context
    def _joined(self, escaping: nodes.EvalContext, values: tuple[Any, ...]) -> str:
        """``a ~ b``: if one of them is HTML, escape the others."""
        texts = [it if type(it) in TEXTS else self.shown(it) for it in values]
        self.meter.text(sum(map(len, texts)))
        html = escaping.autoescape and Markup in map(type, texts)
        return Markup("").join(texts) if html else "".join(texts)

    # --- checks of templates before they are rendered --------------------------------------------------------------

    def compile_faults(self, file: str) -> Iterator[str]:
        """Compile one file and find its references; yield its faults."""
        try:
            self.get_template(file)
            self.reads(file)
        except TemplateSyntaxError as fault:
            yield f"{fault.name} line {fault.lineno}: {fault.message}"
        except (TemplateError, UnicodeDecodeError, ConfigurationFault) as fault:
            yield f"{file}: {fault}"
        except (ValueError, SyntaxError, RecursionError, MemoryError) as fault:
            yield f"{file}: cannot be compiled: {type(fault).__name__}"

    def texts(self, *files: str) -> dict[str, str]:
        """Return the text of these files and of all files that they refer to, by file."""
        return {file: source.text for file, source in self._closure(files).items()}

    def reads(self, *files: str) -> frozenset[str]:
        """Return the context names that these files and all files that they refer to look up."""
        return frozenset().union(*(it.names for it in self._closure(files).values())).difference(self.globals)

    def _closure(self, files: Iterable[str]) -> dict[str, "_Source"]:
        found: dict[str, _Source] = {}
        more = [*files]
        while more:
            file = more.pop()
            if file not in found:
                found[file] = self._source(file)
                more += [self._referenced(name, file) for name in found[file].references]
        return found

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """As Jinja's, and keep what the file refers to: to parse it again would take as long as to compile it."""
        tree = super()._parse(source, name, filename)
        if name is not None:
            self._sources[name] = _Source(source, tuple(meta.find_referenced_templates(tree)), set())
        return tree

    def looked_up(self, file: str | None, names: Iterable[str]) -> None:
        """Called while ``file`` is compiled, with names that it looks up in the context or among the globals."""
        if file is not None:
            self._sources[file].names.update(names)

    def _source(self, file: str) -> "_Source":
        self.get_template(file)  # compiled once: several parts and kinds include the same
        return self._sources[file]

    def _referenced(self, name: str | None, file: str) -> str:
        if name is None:
            raise ConfigurationFault("refers to a file by a computed name: what that reads cannot be known")
        other = self.join_path(name, file)
        # The caller of a macro trusts its output, so unescaped text would enter HTML unnoticed.
        if self.is_html(other) != self.is_html(file):
            raise ConfigurationFault(f"one of it and {other} is HTML, the other is not")
        return other


@dataclass(frozen=True, slots=True)
class _Source:
    """One file: what it refers to (None: by a computed name), and the names that it looks up."""

    text: str
    references: tuple[str | None, ...]
    names: set[str]


def _item(obj: Any, argument: Any) -> Any:
    if isinstance(obj, type):  # list[int] is a type, with attributes of its own
        raise TypeError
    return obj[argument]


def _absent(words: Container[str]) -> type[StrictUndefined]:
    """Make the type of undefined values. It names only words of templates: a computed name may contain a value."""

    class Absent(StrictUndefined):
        __slots__ = ()

        @property
        def _undefined_message(self) -> str:
            if self._undefined_hint:
                return self._undefined_hint
            name = repr(self._undefined_name) if self._undefined_name in words else "a name that was computed"
            if self._undefined_obj is missing:
                return f"{name} is undefined"
            return f"a {type(self._undefined_obj).__name__} has no {name}"

    return Absent
