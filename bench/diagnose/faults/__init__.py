"""All faults of the trial."""

from bench.diagnose.faults import contents, limits, processes, receivers, services, upstreams
from bench.diagnose.faults.fault import Fault

ALL: tuple[Fault, ...] = (
    upstreams.SLOW,
    upstreams.ONE_PERCENT,
    upstreams.POOL,
    upstreams.ANSWERS_503,
    upstreams.HANGS,
    limits.ONE,
    limits.ALL,
    receivers.ONE,
    receivers.FIFTY,
    receivers.MAIL,
    services.SLOW_REDIS,
    services.NO_REDIS,
    services.ALARM,
    services.NO_BROKER,
    processes.CPU,
    processes.LOOP,
    limits.SLOTS,
    processes.FROZEN,
    contents.POISON,
    contents.TEMPLATE,
    contents.SECRET,
    limits.PAUSE,
    contents.NOBODY,
    processes.DRIFT,
)
BESIDES: tuple[Fault, ...] = (upstreams.SEEDS_DAY, contents.DEADLY)
"""Runs that are not among the 24, and all of which must be named rightly."""
