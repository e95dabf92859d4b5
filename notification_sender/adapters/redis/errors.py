"""Translates the errors of Redis into the worker's own."""

from redis.exceptions import RedisError, ResponseError

from notification_sender.model.errors import Unready

CONNECTION_ERRORS = (RedisError, OSError, RuntimeError)
"""Errors that mean a lost connection. uvloop raises RuntimeError for a write to a socket that is already closed."""

TEMPORARY_REFUSALS = (
    "OOM",
    "MISCONF",
    "BUSY",
    "MASTERDOWN",
    "NOREPLICAS",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "LOADING",
    "READONLY",
)
"""Words of refusals that end by themselves, or when an operator acts. Any other refusal would repeat for ever."""


def translated(fault: RedisError) -> Exception:
    """Unready where waiting helps. RuntimeError where the command itself is wrong: waiting would never end."""
    if type(fault) is ResponseError and not any(word in str(fault) for word in TEMPORARY_REFUSALS):
        return RuntimeError(f"Redis refuses a command: {fault}")
    return Unready(f"Redis answers {type(fault).__name__}: {fault}")
