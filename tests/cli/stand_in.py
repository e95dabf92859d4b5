"""What commands call, and how they ended."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Probe:
    name: str
    ok: bool
    detail: str


@dataclass
class App:
    """Stands for the process: says what it is told to say, or raises it, and remembers what it was asked."""

    answer: Any = None
    asked: list[Any] = field(default_factory=list)
    Probe: type[Probe] = Probe

    def run(self, _settings: object) -> Any:
        return self._say("run")

    def preview(self, *question: object) -> Any:
        return self._say(*question)

    async def probe(self, _settings: object) -> Any:
        return self._say("probe")

    async def declare(self, _settings: object) -> Any:
        return self._say("declare")

    async def publish(self, _settings: object, bodies: list[bytes]) -> Any:
        return self._say(bodies)

    async def audit(self, _settings: object, batch: str) -> Any:
        return self._say(batch)

    async def enable(self, _settings: object, organization: str, destination: str) -> Any:
        return self._say(organization, destination)

    async def troubled(self, _settings: object, organization: str | None) -> Any:
        return self._say(organization)

    async def suppress(self, _settings: object, *question: object, **how: object) -> Any:
        return self._say(*question, how)

    async def unsuppress(self, _settings: object, *question: object) -> Any:
        return self._say(*question)

    async def suppressed(self, _settings: object, organization: str) -> Any:
        return self._say(organization)

    def _say(self, *question: object) -> Any:
        self.asked.append(question if len(question) > 1 else question[0])
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass(frozen=True)
class Ended:
    code: object
    out: str
    err: str


Command = Callable[..., Ended]
