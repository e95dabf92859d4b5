"""A private redis-server: own port, own folder, nothing kept on disk."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .certificates import Certificate
from .program import HOST, Program, answer, find, free_port

Options = dict[str, str]


class Redis:
    """``stop`` and ``kill`` lose what it holds: it writes nothing down."""

    def __init__(self, folder: Path, **more: str) -> None:
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}/0"
        options = {"port": str(self.port), "bind": HOST, "dir": str(folder), "save": "", "appendonly": "no"} | more
        command = [find("redis-server")]
        for name, value in options.items():
            command += [f"--{name}", value]
        self._program = Program(command, os.environ, folder / "log")

    def start(self) -> None:
        self._program.start(lambda: answer(self.port, b"PING\r\n").startswith(b"+PONG"))

    def stop(self) -> None:
        self._program.stop()

    def kill(self) -> None:
        self._program.kill()

    def freeze(self) -> None:
        self._program.freeze()

    def thaw(self) -> None:
        self._program.thaw()

    @property
    def pids(self) -> list[int]:
        return self._program.pids

    def ask(self, *words: str) -> None:
        """Run a command that answers OK."""
        command = f"*{len(words)}\r\n" + "".join(f"${len(it.encode())}\r\n{it}\r\n" for it in words)
        reply = answer(self.port, command.encode())
        if not reply.startswith(b"+OK"):
            raise RuntimeError(f"{words[0]}: {reply!r}")

    def flush(self) -> None:
        """Forget every key and every script."""
        for command in (b"FLUSHALL\r\n", b"SCRIPT FLUSH\r\n"):
            reply = answer(self.port, command)
            if not reply.startswith(b"+OK"):
                raise RuntimeError(f"{self.url} did not flush: {reply!r}")


def with_tls(
    port: int, shows: Certificate, *, demands: Path | None = None, versions: str = "TLSv1.2 TLSv1.3"
) -> Options:
    """The options of a server that listens with TLS as well, on ``port``. ``demands``: authorities of the clients."""
    return {
        "tls-port": str(port),
        "tls-cert-file": str(shows.certificate),
        "tls-key-file": str(shows.key),
        "tls-ca-cert-file": str(demands or shows.certificate),
        "tls-auth-clients": "yes" if demands else "no",
        "tls-protocols": versions,
    }


@contextmanager
def running_redis(**more: str) -> Iterator[Redis]:
    """A redis-server for the length of the block; ``more`` are options by name.

    Raises:
        MissingProgramError: it is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        redis = Redis(Path(folder), **more)
        redis.start()
        try:
            yield redis
        finally:
            redis.thaw()
            redis.kill()
