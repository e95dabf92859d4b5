"""The limit of open files of the process: every connection is a file."""

import resource

import structlog

from notification_sender.worker.unit_work import AT_ONCE

OWN_FILES = 256
"""Files that are no connections to recipients: RabbitMQ, Redis, our APIs, the mail server, templates."""

UNLIMITED_FILES = 1_048_576
"""Files that are assumed where the system has no limit."""

_log = structlog.get_logger()


def open_files() -> int:
    """The current limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return UNLIMITED_FILES if soft == resource.RLIM_INFINITY else soft


def raise_open_files(concurrency: int) -> None:
    """Raise the limit to the system's maximum, and log it. Warns if it is too low for ``concurrency`` slots."""
    before = open_files()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (UNLIMITED_FILES if hard == resource.RLIM_INFINITY else hard, hard))
    except (OSError, ValueError) as fault:  # some systems refuse their own hard limit
        _log.warning("open_files.not_raised", limit=before, error=str(fault))
    after, wanted = open_files(), needed(concurrency)
    _log.info("open_files.raised", before=before, after=after)
    if after < wanted:
        advice = f"raise the hard limit of open files (ulimit -Hn) to {wanted}, or lower NS_CONCURRENCY"
        _log.warning("open_files.few", limit=after, needed=wanted, advice=advice)


def needed(concurrency: int) -> int:
    """Files that so many slots may need. Each sends ``AT_ONCE`` at once, and as many idle connections may be kept."""
    return 2 * AT_ONCE * concurrency + OWN_FILES
