"""Describes an internal API before any call of it."""

import re
from dataclasses import dataclass

from notification_sender.model.errors import ConfigurationFault

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True, slots=True)
class Api:
    """An API that sources call. A recipe that brings its own declares it: ``Recipe(…, apis=[Api("weather")])``.

    ``name`` makes its variables, ``NS_<NAME>_URL`` (required) and ``NS_<NAME>_BUDGET`` (calls that all processes have
    under way at most), and is what ``/status`` and metrics call it. Sources get its client, guarded and with retries,
    as the parameter ``given_as``; by default that is the name. ``trusted``: it is one of ours, and gets the service
    token and the trace. ``why`` stands in the message that its URL is missing.

    Raises:
        ConfigurationFault: the name is not of ``a-z``, ``0-9`` and ``_``.

    """

    name: str
    given_as: str = ""
    trusted: bool = True
    why: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigurationFault(f"API {self.name!r}: a name has up to 40 of a-z, 0-9 and _, a letter first")

    @property
    def parameter(self) -> str:
        """What sources call its client."""
        return self.given_as or self.name
