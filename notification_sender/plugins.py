"""What other packages add to this one by their entry points: recipes and channels."""

from collections.abc import Collection, Iterable
from functools import cache
from importlib import metadata
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any, Protocol, TypeVar

from notification_sender.model.errors import ConfigurationFault


class Named(Protocol):
    """What an entry point holds: it has the name of the entry point."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


@cache
def entry_points(*, group: str) -> EntryPoints:
    """Search once in a process: each search reads a file of every installed package."""
    return metadata.entry_points(group=group)


def with_installed(group: str, kind: type[T], shipped: Iterable[T], *, what: str) -> dict[str, T]:
    """By name: the shipped ones, and those of other packages that are installed. ``what``: one of them, in a message.

    Raises:
        ConfigurationFault: lists every entry point of the group that cannot be used, with the reason.

    """
    known = {it.name: it for it in shipped}
    faults = []
    for entry in entry_points(group=group):
        try:
            loaded = _loaded(entry, kind, known, what)
        except ConfigurationFault as fault:
            faults.append(str(fault))
        else:
            known[loaded.name] = loaded
    if faults:
        raise ConfigurationFault("\n".join(faults))
    return known


def _loaded(entry: EntryPoint, kind: type[T], known: Collection[str], what: str) -> T:
    where = f"{what} {entry.name} ({entry.value}{f' of {entry.dist.name}' if entry.dist else ''})"
    try:
        loaded: Any = entry.load()
    except Exception as fault:  # the import of another package may fail in any way
        raise ConfigurationFault(f"{where} cannot be imported: {type(fault).__name__}: {fault}") from fault
    if not isinstance(loaded, kind):
        raise ConfigurationFault(f"{where} is a {type(loaded).__name__}, not a {kind.__name__}")
    if loaded.name != entry.name:
        raise ConfigurationFault(f"{where} calls itself {loaded.name}: the entry point must have the same name")
    if loaded.name in known:
        raise ConfigurationFault(f"{where}: there is a {what} of that name already")
    return loaded
