"""A private RabbitMQ node: own ports, own cookie, own folder, as any user."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .certificates import certificate
from .program import HOST, Program, answer, find, free_port

# Debian's wrapper in /usr/sbin insists on being root or rabbitmq; the program itself does not.
FOLDERS = ("/usr/lib/rabbitmq/bin", "/usr/local/sbin", "/opt/homebrew/sbin", "/usr/local/opt/rabbitmq/sbin")

# The limits are absolute: relative ones block every publisher on a machine that is small or full.
CONFIGURATION = """\
listeners.tcp.1 = {host}:{port}
listeners.ssl.1 = {host}:{tls_port}
ssl_options.certfile = {tls.certificate}
ssl_options.cacertfile = {tls.certificate}
ssl_options.keyfile = {tls.key}
disk_free_limit.absolute = 1MB
vm_memory_high_watermark.absolute = 2GB
heartbeat = 10
log.file = false
log.console = true
log.console.level = warning
"""

# Straight from the state of the queues: what ``list_queues`` says of quorum queues is up to five seconds old. Looked at
# twice, because a message may move from a queue not asked yet to one that was asked already.
HELD = """Held = fun(Q) ->
  {resource, _, queue, Name} = amqqueue:get_name(Q),
  [Ready, Unacked] = [begin {ok, {_, Count}, _} = ra:local_query(amqqueue:get_pid(Q), Ask), Count end
    || Ask <- [fun rabbit_fifo:query_messages_ready/1, fun rabbit_fifo:query_messages_checked_out/1]],
  {binary_to_list(Name), Ready, Unacked} end,
Ours = [Q || Q <- rabbit_amqqueue:list(), {resource, _, queue, <<"%s.", _/binary>>} <- [amqqueue:get_name(Q)]],
[It || _ <- [1, 2], Q <- Ours, {_, Ready, Unacked} = It <- [Held(Q)], Ready + Unacked > 0].
"""


class RabbitMQ:
    """``stop`` and ``kill`` keep its data: ``start`` finds the queues and the confirmed messages again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"amqp://guest:guest@{HOST}:{self.port}/"
        tls_port, tls = free_port(), certificate(folder / "tls", f"IP:{HOST}")
        self.tls_url = f"amqps://guest:guest@{HOST}:{tls_port}/?cafile={tls.certificate}"
        epmd_port, dist_port = free_port(), free_port()
        configuration = CONFIGURATION.format(host=HOST, port=self.port, tls_port=tls_port, tls=tls)
        files = {"configuration": configuration, "plugins": "[]."}
        for name, text in files.items():
            (folder / name).write_text(text)
        self._environment = os.environ | {
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"t{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "configuration"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_DIST_PORT": str(dist_port),
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": HOST,
        }
        # A node would start epmd as a daemon that outlives it; this one is ours to end.
        self._epmd_port = epmd_port
        self._epmd = Program([find("epmd"), "-port", str(epmd_port), "-address", HOST], os.environ, folder / "epmd.out")
        self._node = Program([find("rabbitmq-server", *FOLDERS)], self._environment, folder / "rabbitmq-server.out")

    def start(self) -> None:
        self._epmd.start(lambda: answer(self._epmd_port, b"\x00\x01n") != b"")
        self._node.start(lambda: answer(self.port, b"AMQP\x00\x00\x09\x01") != b"")

    def stop(self) -> None:
        self._node.stop()
        self._epmd.kill()

    def kill(self) -> None:
        self._node.kill()
        self._epmd.kill()

    def remember(self) -> None:
        """Have it write down which queues there are. By itself it does that with the next one, or after half a second:
        killed before, it has the last one back without what was in it, and with nobody to lead it.
        """
        self.ctl("eval", "dets:sync(ra_directory_reverse).")

    def freeze(self) -> None:
        self._node.freeze()

    def thaw(self) -> None:
        self._node.thaw()

    def ctl(self, *arguments: str) -> str:
        """Run ``rabbitmqctl`` and return what it says; takes about two seconds."""
        done = subprocess.run(  # noqa: S603 - the arguments are written in tests
            [find("rabbitmqctl", *FOLDERS), "--quiet", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout

    def held(self, prefix: str) -> str:
        """Queues of this prefix that hold anything: name, ready, unacked. Nothing where there are none."""
        return self.ctl("eval", HELD % prefix).strip().removeprefix("[").removesuffix("]")

    def drop_connections(self) -> None:
        """Close every client's connection, as an operator would."""
        self.ctl("close_all_connections", "dropped by a test")


@contextmanager
def running_rabbitmq() -> Iterator[RabbitMQ]:
    """A RabbitMQ node for the length of the block; it is up after about four seconds.

    Raises:
        MissingProgramError: it is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="rabbitmq-", ignore_cleanup_errors=True) as folder:
        rabbitmq = RabbitMQ(Path(folder))
        rabbitmq.start()
        try:
            yield rabbitmq
        finally:
            rabbitmq.thaw()
            rabbitmq.kill()
