"""What every driver is told, by its environment, and the backlog that it publishes. The standard library alone."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

AMQP_URL = os.environ["PEERS_AMQP_URL"]
QUEUE = os.environ["PEERS_QUEUE"]
TARGET = os.environ.get("PEERS_TARGET", "")
BODY = b"x" * int(os.environ.get("PEERS_BYTES", "0"))
IN_FLIGHT = int(os.environ.get("PEERS_IN_FLIGHT", "1"))
THREADS = int(os.environ.get("PEERS_THREADS", "1"))
CLIENT = os.environ.get("PEERS_CLIENT", "requests")

AT_ONCE = 500
"""Publishes that wait for their confirms together, where a client can do that."""


Job = tuple[str, dict[str, Any]]
"""The id of a webhook, and the work unit that it is about."""


def headers(webhook_id: str) -> dict[str, str]:
    """What the floor sends too."""
    return {"content-type": "application/json", "webhook-id": webhook_id}


def backlog() -> Iterator[Job]:
    """Id and work unit of each message, from the file that is the first argument: a JSON array a line."""
    with Path(sys.argv[1]).open() as lines:
        for line in lines:
            webhook_id, unit = json.loads(line)
            yield webhook_id, unit


def in_parts(jobs: Iterable[Job], size: int) -> Iterator[list[Job]]:
    """Lists of at most ``size``."""
    rest = iter(jobs)
    while part := list(islice(rest, size)):
        yield part
