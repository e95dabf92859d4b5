"""The peers of the benchmark: each can be started and given its backlog, and none comes into our environment."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.machine import cpu_seconds, family, family_cpu_seconds, peak_rss
from bench.peers.drivers import DRIVERS, PYTHON, Driver, runner
from bench.peers.table import FLOOR, FULL, table

ROOT = Path(__file__).parents[1]
REQUIREMENT = re.compile(r"^([a-z][\w.-]*)==.*?(?=^[a-z]|\Z)", re.MULTILINE | re.DOTALL)
PACKAGES = {"faststream", "taskiq", "taskiq-aio-pika", "dramatiq", "celery"}
RECEIVER = "http://receiver/hooks"
each = pytest.mark.parametrize("driver", DRIVERS, ids=lambda it: it.name)


def locked(name: str) -> dict[str, int]:
    """By package, how many hashes its lock has for it."""
    text = (ROOT / "requirements" / name).read_text()
    return {found[1]: found[0].count("--hash=sha256:") for found in REQUIREMENT.finditer(text)}


@each
def test_a_driver_is_started_in_its_own_environment_with_all_it_has_to_know(driver: Driver) -> None:
    command = runner(driver, "queue-7", amqp_url="amqp://broker/", size=2658, in_flight=200, threads=16).command(
        RECEIVER
    )
    told, (python, module_option, *words) = command[1:8], command[8:]
    assert command[0] == "/usr/bin/env"
    assert told == [
        "PEERS_AMQP_URL=amqp://broker/",
        "PEERS_QUEUE=queue-7",
        "PEERS_BYTES=2658",
        "PEERS_IN_FLIGHT=200",
        "PEERS_THREADS=16",
        f"PEERS_CLIENT={driver.client}",
        f"PEERS_TARGET={RECEIVER}",
    ]
    assert (python, module_option, words[0]) == (PYTHON, "-m", driver.name.partition(",")[0].lower())
    assert any(word.partition(":")[0] == driver.module for word in words)


@each
def test_a_driver_takes_a_job_and_publishes_the_backlog_as_a_program(driver: Driver) -> None:
    tree = ast.parse((ROOT / driver.module.replace(".", "/")).with_suffix(".py").read_text())
    functions = {it.name for it in tree.body if isinstance(it, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert "deliver" in functions
    last = tree.body[-1]
    assert isinstance(last, ast.If)
    assert ast.unparse(last.test) == "__name__ == '__main__'"


def test_threads_are_told_to_those_that_have_them() -> None:
    with_threads = {it.name for it in DRIVERS if it.worker(16) != it.worker(200)}
    assert with_threads == {it.name for it in DRIVERS if it.client}
    assert {it.client for it in DRIVERS} == {"", "requests", "urllib3"}


def test_every_package_of_the_peers_is_locked_with_hashes_and_none_is_in_our_locks() -> None:
    peers = locked("peers.lock")
    assert peers.keys() >= PACKAGES
    assert min(peers.values()) > 0
    for lock in sorted(it.name for it in (ROOT / "requirements").glob("*.lock") if it.name != "peers.lock"):
        assert not PACKAGES & locked(lock).keys(), lock


def test_the_libraries_that_they_share_with_the_floor_are_of_one_version() -> None:
    locks = [(ROOT / "requirements" / name).read_text() for name in ("peers.lock", "development.lock")]
    for package in ("aio-pika", "aiormq", "aiohttp", "uvloop", "orjson"):
        theirs, ours = (re.findall(rf"^{package}==(\S+)", lock, re.MULTILINE) for lock in locks)
        assert theirs == ours, package


def test_a_row_has_the_ratios_to_the_floor_and_to_ours() -> None:
    floor = SimpleNamespace(rate=4000.0, cpu=250.0, worker_share=1.0, peak_rss=40.0)
    full = SimpleNamespace(rate=2000.0, cpu=500.0, worker_share=1.0, peak_rss=80.0)
    peer = SimpleNamespace(rate=1000.0, cpu=1000.0, worker_share=0.99, peak_rss=60.4)
    rows: Any = {FLOOR: floor, FULL: full, "Celery": peer}
    _, first, _, last = table(rows).splitlines()
    assert first.split() == ["floor", "4,000", "1.00", "2.00", "250", "1.00", "0.50", "100%", "40", "MiB"]
    assert last.split() == ["Celery", "1,000", "0.25", "0.50", "1,000", "4.00", "2.00", "99%", "60", "MiB"]


PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "bytearray(64 << 20); print('up', flush=True); input()"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.readline()
child.communicate()
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the benchmarks read what Linux says of a process")
def test_what_a_worker_forks_counts_as_the_worker() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:  # noqa: S603 - ours
        assert parent.stdin
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert family(parent.pid) == [parent.pid, child]
        assert peak_rss(parent.pid) > peak_rss(child) > 64
        assert family_cpu_seconds(parent.pid) == cpu_seconds(parent.pid) + cpu_seconds(child)
        parent.communicate(b"\n")
    assert peak_rss(child) == 0
