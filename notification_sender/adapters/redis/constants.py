"""The constants of the Lua scripts: ``scripts.load`` gives each script those that it names.

The pure-Python versions of the scripts that the tests compare them with use the same constants.
"""

from notification_sender.model import override
from notification_sender.policy.audit import WITHHELD
from notification_sender.policy.limits import SECOND
from notification_sender.ports.ledger import HOLD, PAUSED

__all__ = ["HOLD", "PAUSED", "SECOND", "WITHHELD"]  # scripts name them, too

# --- the ledger -----------------------------------------------------------------------------------------------

LONGEST_OVERRIDE = round(override.LONGEST_OVERRIDE)
"""Seconds that a pause lasts at most."""

DISABLED_SECONDS = 7 * 86_400
"""Seconds that a destination stays off after its recipient answered 410, or accepted nothing for days."""

TAKEOVER_LIMIT = 5
"""Leases of one record that ran out in a row: its workers died with it, and it becomes dead."""

STORY_ATTEMPTS = 50
"""Attempts of a notification that its story keeps, the latest."""

WITHHELD_KEPT = 5000
"""Notifications that were withheld from one destination, the latest, and can still be sent."""

LIMIT_MARGIN_MS = 1000
"""Milliseconds that the record of a limit outlives its last booking."""

# --- the shared cache -----------------------------------------------------------------------------------------

FETCH_LEASE_SECONDS = 3.0
"""Seconds that a process may fetch a fact before another one does, unless it renews its lease."""

TIME_DIGITS = 16
"""Digits of a time in µs, until the year 2286: what has more was written by another program."""

# --- the fleet ------------------------------------------------------------------------------------------------

UNSURE_PERIODS = 2
"""Periods after which all processes have announced themselves to a new registry."""

SILENT_PERIODS = 3
"""Periods without an announcement after which a process is gone."""

REGISTRY_PERIODS = 10
"""Periods without an announcement after which Redis forgets a registry."""

RING_SAMPLES = 720
"""Samples of one process that Redis keeps: an hour."""
