"""How much may be tried again: a share of what is called, so that retries never become the load.

A token bucket as in Finagle's retry budgets.
"""

SHARE = 0.2
"""Of a retry, that each call earns."""

START, MOST = 2.0, 10.0


class RetryBudget:
    """Whole retries, earned by calls."""

    def __init__(self) -> None:
        self._balance = START

    def called(self) -> None:
        self._balance = min(MOST, self._balance + SHARE)

    def spend(self) -> bool:
        """Whether one retry may be made."""
        if self._balance < 1:
            return False
        self._balance -= 1
        return True
