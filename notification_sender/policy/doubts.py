"""Whether a failure that may be about one record counts against the API: by how many organizations have one."""

from collections import deque

WINDOW = 10.0
"""Seconds: the window of the breaker, which gets the failures that count."""

OF_ONE = 2
"""Failures of one organization that count in the window: five open the breaker, so three organizations must fail."""

IN_A_ROW = 20
"""Failures in a row that count for any organization: there may be only a few organizations at all."""


class Doubts:
    """The failures of one API that may be about records. Times are monotonic, s."""

    def __init__(self) -> None:
        self._counted: deque[tuple[float, str]] = deque()
        self._in_a_row = 0
        self._well: deque[tuple[float, str]] = deque(maxlen=2)
        """The last success, and before it the last one of another organization."""

    def well(self, organization_id: str, now: float) -> None:
        """A call for this organization was answered."""
        self._in_a_row = 0
        if self._well and self._well[-1][1] == organization_id:
            self._well.pop()
        self._well.append((now, organization_id))

    def alone(self, organization_id: str, now: float) -> bool:
        """Whether calls for other organizations are answered: then the API is not overloaded."""
        return any(organization != organization_id and at >= now - WINDOW for at, organization in self._well)

    def counts(self, organization_id: str, now: float) -> bool:
        """A call for this organization failed. Returns whether that counts against the API."""
        self._in_a_row += 1
        while self._counted and self._counted[0][0] < now - WINDOW:
            self._counted.popleft()
        before = sum(organization == organization_id for _, organization in self._counted)
        if before >= OF_ONE and self._in_a_row < IN_A_ROW:
            return False
        self._counted.append((now, organization_id))
        return True
