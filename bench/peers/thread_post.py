"""The POST of the drivers that have threads, by `requests` as most do it, or by `urllib3`, which is below that.

`requests` costs about as much again as everything else of a message, so that both are measured.
"""

import threading

import requests
import urllib3

from bench.peers.job import BODY, CLIENT, TARGET, THREADS, headers

SECONDS = 30
"""For one request: without a limit a thread would wait for ever."""

_own = threading.local()
_pool = urllib3.PoolManager(maxsize=THREADS)


def by_requests(webhook_id: str) -> None:
    """With a session a thread: a session is not to be shared by threads."""
    if not hasattr(_own, "session"):
        _own.session = requests.Session()
    _own.session.post(TARGET, data=BODY, headers=headers(webhook_id), timeout=SECONDS).raise_for_status()


def by_urllib3(webhook_id: str) -> None:
    """With one pool of as many connections as there are threads."""
    answer = _pool.request("POST", TARGET, body=BODY, headers=headers(webhook_id), timeout=SECONDS)
    if answer.status != 200:
        raise RuntimeError(f"answered {answer.status}")


post = by_urllib3 if CLIENT == "urllib3" else by_requests
