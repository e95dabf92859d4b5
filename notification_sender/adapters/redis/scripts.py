"""What runs inside Redis: the files of lua/, found and read."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
FOLDERS = (PACKAGE / "lua", PACKAGE.parent / "lua")
"""An installed wheel carries the folder inside the package, a checkout has it beside."""


@dataclass(frozen=True, slots=True)
class Script:
    """Redis calls it by the digest of its source, once it has seen the source."""

    source: str
    digest: str

    @classmethod
    def of(cls, source: str) -> "Script":
        """The digest is SHA-1 because EVALSHA asks for that: it names, it protects nothing."""
        return cls(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def load(*names: str) -> Script:
    """One script of these files, one after the other."""
    folder = next(folder for folder in FOLDERS if folder.is_dir())
    return Script.of("\n".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names))
