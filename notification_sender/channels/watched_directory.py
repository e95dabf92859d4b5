"""A folder in which operators keep a file for each name, and change it while the worker runs."""

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from notification_sender.model.errors import SetupFault, Unready

Read = TypeVar("Read")

RECHECK_SECONDS = 1.0
"""For so long a file counts as unchanged: a look at the file for every send costs more than a signature."""

_ABSENT = (FileNotFoundError, NotADirectoryError)
_NO_MORE_FILES = {errno.EMFILE, errno.ENFILE}


@dataclass(frozen=True, slots=True)
class _Known(Generic[Read]):
    """``version``: of the file. ``looked``: when the file was last compared, monotonic s."""

    read: Read
    version: tuple[int, int, int]
    looked: float


class WatchedDirectory(Generic[Read]):
    """Files that are read again within 1 s after a change. While a file is unchanged, its value is the same object.

    ``what`` and ``option`` name the file in messages, ``reason`` is the code of its faults. ``parse`` turns the bytes
    of a file into its value; it raises ValueError, with a message that repeats no secret.
    """

    def __init__(
        self,
        directory: Path | None,
        *,
        what: str,
        option: str,
        reason: str,
        parse: Callable[[bytes], Read],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._what = what
        self._option = option
        self._reason = reason
        self._parse = parse
        self._monotonic = monotonic
        self._known: dict[str, _Known[Read]] = {}

    def read(self, *places: str, advice: str = "") -> Read:
        """The value of the first of these files that exists. A place is an identifier, or two with a slash between.

        A file that exists and cannot be used is an error: the next place is not tried. ``advice`` ends the message
        where no file exists.

        Raises:
            SetupFault: says why the file cannot be used; nothing was sent.
            Unready: this process may open no more files just now.

        """
        if self._directory is None:
            raise self._unusable(places[0], f"{self._option} is not set")
        for place in places:
            try:
                return self._read(self._directory, place)
            except _ABSENT:
                continue
        file = self._directory / places[0]
        raise self._unusable(places[0], f"there is no {file}{advice}")

    def _read(self, directory: Path, place: str) -> Read:
        now, known = self._monotonic(), self._known.get(place)
        if known is not None and now - known.looked < RECHECK_SECONDS:
            return known.read
        file = directory / place
        try:
            self._known[place] = known = self._read_if_changed(file, known, now)
        except _ABSENT:
            self._known.pop(place, None)
            raise
        except OSError as fault:
            if fault.errno in _NO_MORE_FILES:
                raise Unready(f"no more files can be opened: {fault.strerror}") from None
            raise self._unusable(place, f"{file}: {fault.strerror or type(fault).__name__}") from None
        except ValueError as fault:
            raise self._unusable(place, f"{file}: {fault}") from None
        return known.read

    def _read_if_changed(self, file: Path, known: _Known[Read] | None, now: float) -> _Known[Read]:
        status = file.stat()
        version = (status.st_mtime_ns, status.st_size, status.st_ino)
        if known is not None and known.version == version:
            return replace(known, looked=now)
        return _Known(self._parse(file.read_bytes()), version, now)

    def _unusable(self, place: str, cause: str) -> SetupFault:
        return SetupFault(f"the {self._what} {place!r} cannot be used: {cause}", reason=self._reason)
