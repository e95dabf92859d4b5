"""A private RabbitMQ node: own ports, own cookie, own folder, as any user."""

import os
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.patience import patient

from .certificates import Certificate, certificate
from .program import HOST, MissingProgramError, Program, answer, find, free_port

# Debian's wrapper in /usr/sbin insists on being root or rabbitmq; the program itself does not.
FOLDERS = ("/usr/lib/rabbitmq/bin", "/usr/local/sbin", "/opt/homebrew/sbin", "/usr/local/opt/rabbitmq/sbin")

VERSIONS = Path(os.environ.get("RABBITMQ_VERSIONS", "/opt/rabbitmq"))
"""Where deploy/rabbitmq-versions sets up other versions than the installed one."""

MEMORY, ROOM = Path("/dev/shm"), 4 * 1024**3  # noqa: S108 - below it is a folder with a name that nobody can guess
"""A file system in memory, and the bytes that have to be free in it."""

LARGEST_MESSAGE = 134_217_728
"""Bytes, the limit of RabbitMQ 3."""

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
# twice, because a message may move from a queue not asked yet to one that was asked already. What is on its way out of
# the ladder, up to 32 of each step, is neither ready nor handed out.
HELD = """Held = fun(Q) ->
  {resource, _, queue, Name} = amqqueue:get_name(Q),
  [Ready, Unacked] = [begin {ok, {_, Count}, _} = ra:local_query(amqqueue:get_pid(Q), Ask), Count end
    || Ask <- [fun rabbit_fifo:query_messages_ready/1, fun rabbit_fifo:query_messages_checked_out/1]],
  {ok, {_, {Leaving, _}}, _} = ra:local_query(amqqueue:get_pid(Q), fun rabbit_fifo:query_stat_dlx/1),
  {binary_to_list(Name), Ready + Leaving, Unacked} end,
Ours = [Q || Q <- rabbit_amqqueue:list(), {resource, _, queue, <<"%s.", _/binary>>} <- [amqqueue:get_name(Q)]],
[It || _ <- [1, 2], Q <- Ours, {_, Ready, Unacked} = It <- [Held(Q)], Ready + Unacked > 0].
"""

# A quorum queue costs its node time for as long as it is there: twenty topologies take a fortieth of a core at rest.
FORGET = """Begins = fun({resource, _, _, <<"%s", _/binary>>}) -> true; (_) -> false end,
[rabbit_amqqueue:delete(Q, false, false, <<"tests">>) || Q <- rabbit_amqqueue:list(), Begins(amqqueue:get_name(Q))],
[rabbit_exchange:delete(Name, false, <<"tests">>)
  || X <- rabbit_exchange:list(<<"/">>), Name <- [element(2, X)], Begins(Name)],
done.
"""

# What ``rabbitmqctl eval`` does, without the two seconds that it takes to become a node of its own: run by the node
# itself, from when it has booted.
EVALUATOR = """\
Answer = fun(Text) ->
  try
    {{ok, Tokens, _}} = erl_scan:string(Text),
    {{ok, Parsed}} = erl_parse:parse_exprs(Tokens),
    {{value, Value, _}} = erl_eval:exprs(Parsed, erl_eval:new_bindings()),
    [0, io_lib:format("~0p", [Value])]
  catch _:Fault -> [1, io_lib:format("~0p", [Fault])]
  end end,
Serve = fun Serve(Listener) ->
  {{ok, Socket}} = gen_tcp:accept(Listener),
  case gen_tcp:recv(Socket, 0) of {{ok, Text}} -> gen_tcp:send(Socket, Answer(Text)); _ -> gone end,
  gen_tcp:close(Socket),
  Serve(Listener) end,
spawn(fun() ->
  Options = [list, {{ip, {{127, 0, 0, 1}}}}, {{packet, 4}}, {{active, false}}, {{reuseaddr, true}}],
  {{ok, Listener}} = gen_tcp:listen(0, Options),
  {{ok, Port}} = inet:port(Listener),
  ok = file:write_file({file}, integer_to_list(Port)),
  Serve(Listener) end).
"""


def program(name: str) -> str:
    """The path of a program of RabbitMQ: of the version that ``BROKER`` names, else of the one that is installed.

    Raises:
        MissingProgramError: it is not there.
    """
    version = os.environ.get("BROKER")
    if not version:
        return find(name, *FOLDERS)
    path = VERSIONS / version / "bin" / name
    if not path.exists():
        raise MissingProgramError(f"RabbitMQ {version} is not set up: deploy/rabbitmq-versions {version}")
    return str(path)


def _disk() -> Path | None:
    """Where a node keeps its data. In memory a write takes microseconds, and on a disk milliseconds, several a queue.

    What a killed node wrote is there again either way: only the machine itself could lose it.
    """
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    return MEMORY if roomy else None


def _erlang(file: Path) -> str:
    """Its name as numbers: a shell splits the words of the variable, and keeps no quotes."""
    return f"[{','.join(map(str, os.fsencode(file)))}]"


running: "list[RabbitMQ]" = []
"""The nodes of this process: what a test declared may be on any of them."""


class RabbitMQ:
    """``stop`` and ``kill`` keep its data: ``start`` finds the queues and the confirmed messages again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"amqp://guest:guest@{HOST}:{self.port}/"
        tls_port, tls = free_port(), certificate(folder / "tls", f"IP:{HOST}")
        self.tls_url = f"amqps://guest:guest@{HOST}:{tls_port}/?cafile={tls.certificate}"
        epmd_port, dist_port, self._evaluator = free_port(), free_port(), folder / "evaluator.port"
        configuration = CONFIGURATION.format(host=HOST, port=self.port, tls_port=tls_port, tls=tls)
        evaluator = EVALUATOR.format(file=_erlang(self._evaluator))
        files = {"configuration": configuration, "plugins": "[].", "evaluator": evaluator}
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
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-eval file:script({_erlang(folder / 'evaluator')})",
            "RABBITMQ_DIST_PORT": str(dist_port),
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": HOST,
        }
        # A node would start epmd as a daemon that outlives it; this one is ours to end.
        self._epmd_port = epmd_port
        self._epmd = Program([find("epmd"), "-port", str(epmd_port), "-address", HOST], os.environ, folder / "epmd.out")
        self._node = Program([program("rabbitmq-server")], self._environment, folder / "rabbitmq-server.out")

    def start(self) -> None:
        self._epmd.start(lambda: answer(self._epmd_port, b"\x00\x01n") != b"")
        self._node.start(lambda: answer(self.port, b"AMQP\x00\x00\x09\x01") != b"" and self._evaluates())

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

    @property
    def environment(self) -> dict[str, str]:
        """For programs that speak to this node as ``rabbitmqctl``, which ``RABBITMQCTL`` names."""
        return self._environment | {"RABBITMQCTL": program("rabbitmqctl")}

    @property
    def pids(self) -> list[int]:
        """Of the node, without epmd."""
        return self._node.pids

    def ctl(self, *arguments: str) -> str:
        """Run ``rabbitmqctl`` and return what it says; takes about two seconds, but for ``eval``."""
        if arguments[0] == "eval":
            return self._evaluated(arguments[1])
        done = subprocess.run(  # noqa: S603 - the arguments are written in tests
            [program("rabbitmqctl"), "--quiet", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=patient(60),
        )
        return done.stdout

    def _evaluated(self, expressions: str) -> str:
        """What the node says of Erlang.

        Raises:
            CalledProcessError: it is not there, or they fail.
        """
        text = expressions.encode()
        try:
            # A port that was free before the node started may be somebody else's when it has.
            port = int(self._evaluator.read_text())
            with socket.create_connection((HOST, port), timeout=patient(60)) as connection:
                connection.sendall(struct.pack(">I", len(text)) + text)
                with connection.makefile("rb") as told:
                    said = told.read()[4:]
        except (OSError, ValueError) as fault:
            raise subprocess.CalledProcessError(1, "eval", stderr=str(fault)) from fault
        if said[:1] != b"\0":
            raise subprocess.CalledProcessError(1, "eval", stderr=said[1:].decode() or "the node is gone")
        return said[1:].decode()

    def _evaluates(self) -> bool:
        try:
            return self._evaluated("1.") == "1"
        except subprocess.CalledProcessError:
            return False

    def held(self, prefix: str) -> str:
        """Queues of this prefix that hold anything: name, ready, unacked. Nothing where there are none."""
        return self.ctl("eval", HELD % prefix).strip().removeprefix("[").removesuffix("]")

    def forget(self, prefix: str) -> None:
        """Delete the queues and exchanges whose names begin so. A node that is away keeps them."""
        with suppress(subprocess.CalledProcessError):
            self.ctl("eval", FORGET % prefix)

    def limit_messages(self, size: int = LARGEST_MESSAGE) -> None:
        """Take no message of more bytes from now on, on channels that are opened from now on."""
        # RabbitMQ 3 reads the setting at each channel, 4 what it read at its start.
        self.ctl(
            "eval",
            f"application:set_env(rabbit, max_message_size, {size}), persistent_term:put(max_message_size, {size}).",
        )

    def listen_with_tls(self, shows: Certificate, *, demands: Path | None = None, versions: str = "") -> int:
        """Listen on one more port, for as long as the node runs; returns the port.

        ``demands``: authorities by which each client must prove itself. ``versions``: of TLS, ``'tlsv1.1'``.
        """
        port = free_port()
        options = [f'{{certfile, "{shows.certificate}"}}', f'{{keyfile, "{shows.key}"}}']
        if demands is not None:
            options += [f'{{cacertfile, "{demands}"}}', "{verify, verify_peer}", "{fail_if_no_peer_cert, true}"]
        if versions:
            options.append(f"{{versions, [{versions}]}}")
        listener = f'{{"{HOST}", {port}}}'
        self.ctl("eval", f"ok = rabbit_networking:start_ssl_listener({listener}, [{', '.join(options)}], 1).")
        return port

    def drop_connections(self) -> None:
        """Close every client's connection, as an operator would."""
        self.ctl("close_all_connections", "dropped by a test")


@contextmanager
def running_rabbitmq() -> Iterator[RabbitMQ]:
    """A RabbitMQ node for the length of the block; it is up after about four seconds.

    Raises:
        MissingProgramError: it is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="rabbitmq-", ignore_cleanup_errors=True, dir=_disk()) as folder:
        rabbitmq = RabbitMQ(Path(folder))
        running.append(rabbitmq)
        try:
            rabbitmq.start()
            yield rabbitmq
        finally:
            running.remove(rabbitmq)
            rabbitmq.thaw()
            rabbitmq.kill()
