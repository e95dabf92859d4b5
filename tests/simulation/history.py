"""What happened in one seed, in its order: printed where something is wrong, compared where it is replayed."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class History:
    """Lines of (virtual seconds, who, what, of which id, more)."""

    lines: list[tuple[float, str, str, str, Any]] = field(default_factory=list)

    def add(self, at: float, who: str, what: str, name: str = "", more: Any = "") -> None:
        self.lines.append((at, who, what, name, more))

    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.describe()).encode()).hexdigest()

    def describe(self, name: str = "") -> Iterator[str]:
        """All of it, or what was about ``name`` and what happened to everybody meanwhile."""
        for at, who, what, about, more in self.lines:
            if not name or about in {name, ""}:
                yield f"{at:10.3f}  {who:6}  {what:22}  {about:36}  {more}"
