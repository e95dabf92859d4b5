"""Which step of a message's way a function belongs to: for the sampler and for counts of function calls alike.

A function that has no step here, of a library or a helper that several steps use, counts for whoever calls it.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import CodeType

TAKE, READ, CLAIM, GATHER, RENDER = "take", "read", "claim", "gather", "render"
ADMIT, SEND, SETTLE, REPORT, ACK = "admit", "send", "settle", "log, metrics, events", "ack"
BETWEEN, STORE, OTHER = "between the steps", "replies of Redis", "the loop, and others"
FACTS, BESIDE = "facts asked for again", "beside messages"
COUNTING = "the counting itself"

BY_MESSAGE = (TAKE, READ, CLAIM, GATHER, RENDER, ADMIT, SEND, SETTLE, REPORT, ACK, BETWEEN, STORE, OTHER)
BY_TIME = (FACTS, BESIDE)
"""What time brings, not a message: every fact is looked up again after 5 s, clocks tick. A slow machine has more of it
for each message, so it is counted by itself.
"""

OURS = "notification_sender/"
_STEPS: list[tuple[str, str]] = [
    # BESIDE and FACTS first: they are in rooms of other steps.
    (r".*:\d+:\w+\.(_?watch|follow|_measure)$", BESIDE),
    (r"worker/bulkheads.py:\d+:Bulkhead.divide|policy/fair_share.py:\d+:FairShare.divide", BESIDE),
    (r"worker/lanes.py:\d+:Lanes.allow|worker/bulkheads.py:\d+:Slots.held", BESIDE),
    (r"telemetry/stalls.py|adapters/health_\w+.py|app/worker_(process|parts).py|worker/worker.py", BESIDE),
    (r"app/(fleet_reports|process_report).py|model/process_report.py|adapters/rabbitmq/depths.py", BESIDE),
    (r"policy/(fleet_view|candidates|waits|verdict|flow|silence).py", BESIDE),
    (r"adapters/redis/(eviction|pubsub|operators|overrides|fleet).py|fleet/overrides.py", BESIDE),
    (r"policy/(adaptive_limit|sizing|allowance).py|fleet/background.py", BESIDE),
    (r"context/cache/(fleet_fetch|single_flight|leases).py", FACTS),
    (r"context/upstream/|adapters/redis/shared_cache.py", FACTS),
    # One file of ours, several steps.
    (r"adapters/redis/ledger.py:\d+:RedisLedger\.claim", CLAIM),
    (r"adapters/redis/ledger.py:\d+:RedisLedger\.(admit|begin)", ADMIT),
    (r"adapters/redis/ledger.py:\d+:RedisLedger\.(_settle|finish|release|note)", SETTLE),
    (r"adapters/rabbitmq/fast_path.py:\d+:DirectChannel\.ack", ACK),
    (r"adapters/rabbitmq/subscription.py:\d+:Subscription\.settle", ACK),
    (r"adapters/rabbitmq/broker.py:\d+:RabbitMQ\.ack", ACK),
    (r"adapters/rabbitmq/events.py", REPORT),
    (r"worker/bulkheads.py:\d+:Slots", TAKE),
    # Rooms.
    (r"adapters/redis/connection.py", STORE),
    (r"adapters/rabbitmq/|worker/lanes.py", TAKE),
    (r"model/(unit|strict_json).py", READ),
    (r"worker/leases.py", CLAIM),
    (r"context/|recipes/|compose.py|targets.py|relevance.py", GATHER),
    (r"render/", RENDER),
    (r"admission.py|worker/(attempts|bulkheads).py|policy/(fair_share|limits).py|channels/hosts.py", ADMIT),
    (r"channels/|adapters/http/", SEND),
    (r"worker/(settle|retry_unready).py", SETTLE),
    (r"telemetry/(outcomes|attempt_record|events|log|metrics|steps).py|policy/attempt_report.py", REPORT),
    (r"worker/|deliver.py", BETWEEN),
]
_LIBRARIES: list[tuple[str, str]] = [
    (r"aiormq/connection.py:\d+:Connection\.\w*heartbeat", BESIDE),
    (r"aiormq/connection.py:\d+:Connection\.\w*(write|drain)", ACK),
    # Questions to the broker: no message asks any.
    (r"aiormq/channel.py:\d+:(Channel\.(rpc|queue_declare|open|lock|_get_frame|_on_close)|task\b)", BESIDE),
    (r"aiormq/abc.py:\d+:TaskWrapper|aiormq/base.py:\d+:FutureStore|aiormq/tools.py", BESIDE),
    (r"aiormq/|aio_pika/", TAKE),
    (r"pydantic", READ),
    (r"jinja2/|templates/|.*\.j2:", RENDER),
    (r"aiohttp/|yarl/|multidict/", SEND),
    (r"redis/|hiredis/", STORE),
    (r"bench/", COUNTING),
]


def _compiled(table: list[tuple[str, str]], before: str = "") -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(f"{before}(?:{pattern})"), step) for pattern, step in table]


_ALL = [*_compiled(_STEPS, OURS), *_compiled(_LIBRARIES)]
_ROOTS = sorted({str(Path(root).resolve()) + "/" for root in sys.path if root}, key=len, reverse=True)


@cache
def place(code: CodeType) -> str:
    """``path:line:qualname``, the path from the folder on from which it is imported."""
    path = code.co_filename
    root = next((root for root in _ROOTS if path.startswith(root)), "")
    return f"{path.removeprefix(root)}:{code.co_firstlineno}:{code.co_qualname}"


@cache
def step(name: str) -> str | None:
    """Of a function, by its ``place``; None: it counts for its caller."""
    return next((step for pattern, step in _ALL if pattern.match(name)), None)


Shares = dict[str, float]


def by_step(calls: Mapping[str, float], called: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Calls of each step. ``calls``: by function; ``called``: by caller, then by function."""
    callers: dict[str, dict[str, float]] = defaultdict(dict)
    for caller, below in called.items():
        for function, number in below.items():
            callers[function][caller] = number
    shares: dict[str, Shares] = {name: {own: 1.0} if (own := step(name)) else {} for name in calls}
    # A library calls itself some layers deep; after so many turns each knows for whom.
    for _ in range(12):
        for name, number in calls.items():
            if step(name) is None and number > 0:
                shares[name] = _of_callers(number, callers[name], shares)
    sums: dict[str, float] = defaultdict(float)
    for name, number in calls.items():
        left = number
        for its, share in shares[name].items():
            sums[its] += number * share
            left -= number * share
        sums[OTHER] += left
    return dict(sums)


def _of_callers(number: float, callers: Mapping[str, float], shares: Mapping[str, Shares]) -> Shares:
    mixed: dict[str, float] = defaultdict(float)
    for caller, times in callers.items():
        for its, share in shares.get(caller, {}).items():
            mixed[its] += times * share / number
    return dict(mixed)
