"""Finds and reads the Lua scripts (lua/) that run inside Redis."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from notification_sender.adapters.redis import constants

PACKAGE = Path(__file__).parents[2]
LUA_FOLDERS = (PACKAGE / "lua", PACKAGE.parent / "lua")
"""An installed wheel has the folder inside the package; a checkout has it beside the package."""

_NAME = re.compile(r"\b[A-Z][A-Z_]+\b")


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
    """Join these files, in this order, into one script that begins with the constants it names."""
    folder = next(folder for folder in LUA_FOLDERS if folder.is_dir())
    text = "\n".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)
    return Script.of(f"{_constants(text)}{text}")


def _constants(text: str) -> str:
    # Before the text, and not among the arguments: a call sends nothing more.
    named = sorted(set(_NAME.findall(text)) & vars(constants).keys())
    return "".join(f"local {name} = {_literal(getattr(constants, name))}\n" for name in named)


def _literal(value: float | str) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)
