"""Finds and reads the Lua scripts (lua/) that run inside Redis."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[2]
LUA_FOLDERS = (PACKAGE / "lua", PACKAGE.parent / "lua")
"""An installed wheel has the folder inside the package; a checkout has it beside the package."""


@dataclass(frozen=True, slots=True)
class Script:
    """Redis runs a script by the digest of its source, once it has received the source."""

    source: str
    digest: str

    @classmethod
    def of(cls, source: str) -> "Script":
        """The digest is SHA-1 because EVALSHA requires it: it identifies the script and protects nothing."""
        return cls(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def load(*names: str) -> Script:
    """Join these files, in this order, into one script."""
    folder = next(folder for folder in LUA_FOLDERS if folder.is_dir())
    return Script.of("\n".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names))
