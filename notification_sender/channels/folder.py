"""What operators keep in a folder, a file for each name, and change while we run."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from notification_sender.model.errors import SendFailed, Sent

Read = TypeVar("Read")

LOOK_EVERY = 1.0
"""Seconds for which a file is taken to be unchanged: to ask the system for every send costs more than to sign."""


@dataclass(frozen=True, slots=True)
class _Known(Generic[Read]):
    """``version``: of the file. ``looked``: when that was."""

    read: Read
    version: tuple[int, int, int]
    looked: float


class Folder(Generic[Read]):
    """Files that are read again within a second after they have changed. While one has not, what is read is the same.

    ``what`` and ``option`` name it in messages. ``parse`` makes of the bytes of a file what is wanted; it raises
    ValueError, with a message that repeats nothing secret.
    """

    def __init__(
        self,
        directory: Path | None,
        *,
        what: str,
        option: str,
        parse: Callable[[bytes], Read],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._what = what
        self._option = option
        self._parse = parse
        self._monotonic = monotonic
        self._known: dict[str, _Known[Read]] = {}

    def read(self, name: str) -> Read:
        """What the file of this name holds; ``name`` is an identifier.

        Raises:
            SendFailed: it cannot be used, and why; nothing was sent. The operator can mend it before the attempts run
                out.

        """
        now, known = self._monotonic(), self._known.get(name)
        if known is not None and now - known.looked < LOOK_EVERY:
            return known.read
        if self._directory is None:
            raise self._unusable(name, f"{self._option} is not set")
        try:
            self._known[name] = known = self._look(self._directory / name, known, now)
        except OSError as fault:
            raise self._unusable(name, fault.strerror or type(fault).__name__) from None
        except ValueError as fault:
            raise self._unusable(name, str(fault)) from None
        return known.read

    def _look(self, file: Path, known: _Known[Read] | None, now: float) -> _Known[Read]:
        status = file.stat()
        version = (status.st_mtime_ns, status.st_size, status.st_ino)
        if known is not None and known.version == version:
            return replace(known, looked=now)
        return _Known(self._parse(file.read_bytes()), version, now)

    def _unusable(self, name: str, cause: str) -> SendFailed:
        return SendFailed(f"the {self._what} {name!r} cannot be used: {cause}", sent=Sent.NOTHING)
