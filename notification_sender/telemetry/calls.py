"""Where the time of calls to internal APIs goes: by phase, and what the servers say of themselves."""

from collections import defaultdict
from collections.abc import Mapping

from notification_sender.telemetry.metrics import Metrics

SERVER_NAMES = 8
"""Different names of one API's Server-Timing that are kept apart: servers may make up as many as they like."""

WEIGHT = 0.05
"""Of the last call in a mean: the last twenty or so say how it is now."""


class Calls:
    """Metrics of every call, and means of the recent ones."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._means: dict[str, dict[str, float]] = defaultdict(dict)
        self._names: dict[str, set[str]] = defaultdict(set)

    def ended(  # noqa: PLR0917 - what a call was, in the order of the metrics' labels
        self,
        api: str,
        endpoint: str,
        result: str,
        seconds: float,
        phases: Mapping[str, float],
        server: Mapping[str, float],
    ) -> None:
        self._metrics.calls.labels(api, endpoint, result).observe(seconds)
        for phase, spent in phases.items():
            self._metrics.phases.labels(api, phase).observe(spent)
            self._mean(api, phase, spent)
        for name, spent in server.items():
            known = self._known(api, name)
            self._metrics.servers.labels(api, known).observe(spent)
            self._mean(api, f"server_{known}", spent)

    def means(self) -> dict[str, dict[str, float]]:
        """By API and phase, ms."""
        return {
            api: {name: round(1000 * seconds, 1) for name, seconds in means.items()}
            for api, means in self._means.items()
        }

    def _mean(self, api: str, name: str, seconds: float) -> None:
        means = self._means[api]
        means[name] = (1 - WEIGHT) * means.get(name, seconds) + WEIGHT * seconds

    def _known(self, api: str, name: str) -> str:
        names = self._names[api]
        if len(names) < SERVER_NAMES:
            names.add(name)
        return name if name in names else "other"
