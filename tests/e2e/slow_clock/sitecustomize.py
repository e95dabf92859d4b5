"""Python runs this before a command: its clock goes slower by as much as the machine is, and so do its deadlines.

No nameserver ever answers for names that end in ``.hangs``.
"""

import os
import socket
import threading
import time
from typing import Any

_slowness = float(os.environ.get("TESTS_SLOWNESS", "1"))
_monotonic = time.monotonic


def _slower() -> float:
    return _monotonic() / _slowness


time.monotonic = _slower


_getaddrinfo = socket.getaddrinfo


def _hanging(host: Any, *arguments: Any, **options: Any) -> Any:
    if str(host).endswith(".hangs"):
        threading.Event().wait()
    return _getaddrinfo(host, *arguments, **options)


socket.getaddrinfo = _hanging
