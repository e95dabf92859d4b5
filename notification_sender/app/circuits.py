"""The operators' commands for circuits: list those that are open, and force one open or closed for a while."""

from dataclasses import dataclass

from notification_sender.app.admin import connected_store
from notification_sender.app.apis import apis
from notification_sender.app.changes import Change, announce
from notification_sender.model.override import OPEN, Kind, Override
from notification_sender.ports.fleet import OpenCircuit
from notification_sender.settings import Settings

CIRCUIT: Kind = "circuit"


@dataclass(frozen=True, slots=True)
class Circuits:
    """The circuits that opened by themselves, and those that operators force."""

    open: list[OpenCircuit]
    forced: list[Override]


@dataclass(frozen=True, slots=True)
class ForceResult:
    """A circuit after a change."""

    override: Override | None
    """What began, or what ended; None: nothing was forced."""
    unannounced: str


def subject(text: str) -> str:
    """The subject of ``api/<name>``, ``host/<host>`` or ``host/<organization>/<host>``.

    Raises:
        ValueError: it is none of them, or there is no such API.
    """
    match text.split("/"):
        case ["api", name] if name in apis():
            return text
        case ["api", _]:
            raise ValueError(f"there is no such API, only {', '.join(f'api/{it}' for it in sorted(apis()))}")
        case ["host", host] if host:
            return f"host/*/{host}"
        case ["host", organization, host] if organization and host:
            return text
    raise ValueError(f"{text!r} is no circuit: write api/NAME, host/HOST or host/ORGANIZATION/HOST")


async def circuits(settings: Settings) -> Circuits:
    """All circuits that are open or forced.

    Raises:
        Unready: Redis is away.
    """
    async with connected_store(settings) as opened:
        active = await opened.overrides.active()
        return Circuits(await opened.fleet.reported_circuits(), [it for it in active if it.kind == CIRCUIT])


async def force_circuit(
    settings: Settings, about: str, value: str, *, seconds: float, by: str, note: str
) -> ForceResult:
    """Keep a circuit open or closed for ``seconds``, whatever calls say.

    Raises:
        Unready: Redis is away.
    """
    async with connected_store(settings) as opened:
        made = await opened.overrides.put(CIRCUIT, about, value, seconds=seconds, by=by, note=note)
    word = "circuit_forced_open" if value == OPEN else "circuit_forced_closed"
    change = Change(change=word, by=by, subject=about, until=made.until, value=value, note=note or None)
    return ForceResult(made, await announce(settings, change))


async def reset_circuit(settings: Settings, about: str, *, by: str) -> ForceResult:
    """Let calls decide again.

    Raises:
        Unready: Redis is away.
    """
    async with connected_store(settings) as opened:
        ended = await opened.overrides.remove(CIRCUIT, about)
    if ended is None:
        return ForceResult(None, "")
    return ForceResult(ended, await announce(settings, Change(change="circuit_reset", by=by, subject=about)))
