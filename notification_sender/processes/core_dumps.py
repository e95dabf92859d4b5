"""No memory of ours in files of crashed processes."""

import resource
from contextlib import suppress
from pathlib import Path


def disable_core_dumps() -> None:
    """Disable core dumps: memory holds signing keys, tokens and customers' data, which a crash must not write to disk.

    The limit applies to dump files. It does not apply where the kernel pipes dumps to a program: there the filter
    (``man 5 core``) keeps all memory out of them. ``prctl`` is not used because it would also block profilers.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # not Linux, or no /proc
        Path("/proc/self/coredump_filter").write_text("0", encoding="ascii")
