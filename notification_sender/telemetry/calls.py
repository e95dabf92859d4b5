"""The time of calls to internal APIs, by phase, and by what their servers report (Server-Timing)."""

from collections import defaultdict
from collections.abc import Mapping

from notification_sender.policy.objectives import objectives
from notification_sender.telemetry.metrics import Metrics

MAX_SERVER_NAMES = 8
"""Of one API: a server may send any number of names, and each is a series. Further names count as ``other``."""

LAST_CALL_WEIGHT = 0.05
"""In a mean: about the last 20 calls count."""

FAULTS = frozenset({"unreachable", "no_answer", "timeout", "bad_answer", "401", "403", "408", "429"})
"""Results of calls that speak against an API; so do those of 500 and more. A record that does not exist is none."""


class Calls:
    """Metrics of every call, and means of recent calls."""

    def __init__(self, metrics: Metrics, objective: float = 1.0) -> None:
        """``objective``: seconds within which the first byte of an answer should come."""
        self._metrics = metrics
        self._objective = objective
        self.totals: dict[str, dict[str, float]] = {}
        """Since the start, by API: ``calls``, ``late``, ``failed``, ``within`` the objective, and seconds as
        ``phase …`` and ``server …``."""
        self._within = {it.step.removeprefix("api."): it.within for it in objectives() if it.step.startswith("api.")}
        self._means: dict[str, dict[str, float]] = defaultdict(dict)
        self._names: dict[str, set[str]] = defaultdict(set)

    def observe(  # noqa: PLR0917 - in the order of the metrics' labels
        self,
        api: str,
        endpoint: str,
        result: str,
        seconds: float,
        phases: Mapping[str, float],
        server: Mapping[str, float],
        trace_id: str = "",
    ) -> None:
        """``trace_id``: of the ``traceparent`` that the API got; empty: it got none."""
        exemplar = {"trace_id": trace_id} if trace_id else None
        self._metrics.calls.labels(api, endpoint, result).observe(seconds, exemplar)
        self._add(api, result, seconds, phases, server)
        for phase, spent in phases.items():
            self._metrics.phases.labels(api, phase).observe(spent)
            self._mean(api, phase, spent)
        for name, spent in server.items():
            known = self._known(api, name)
            self._metrics.servers.labels(api, known).observe(spent)
            self._mean(api, f"server_{known}", spent)

    def _add(
        self, api: str, result: str, seconds: float, phases: Mapping[str, float], server: Mapping[str, float]
    ) -> None:
        failed = result in FAULTS or result.startswith("5")
        spent = {f"phase {name}": it for name, it in phases.items()}
        if "first_byte" not in phases:
            # It got no answer. Where it was unreachable it waited for a connection, else for the first byte.
            spent["phase connect" if result == "unreachable" else "phase first_byte"] = seconds
        late = spent.get("phase first_byte", 0.0) > self._objective
        within = seconds <= self._within.get(api, 0.0) and (result.startswith("2") or result == "404")
        spent |= {f"server {self._known(api, name)}": it for name, it in server.items()}
        total = self.totals.setdefault(api, {})
        for name, number in {"calls": 1, "late": late, "failed": failed, "within": within, **spent}.items():
            total[name] = total.get(name, 0) + number

    def means(self) -> dict[str, dict[str, float]]:
        """Mean time by API and phase, ms."""
        return {
            api: {name: round(1000 * seconds, 1) for name, seconds in means.items()}
            for api, means in self._means.items()
        }

    def _mean(self, api: str, name: str, seconds: float) -> None:
        means = self._means[api]
        means[name] = (1 - LAST_CALL_WEIGHT) * means.get(name, seconds) + LAST_CALL_WEIGHT * seconds

    def _known(self, api: str, name: str) -> str:
        names = self._names[api]
        if len(names) < MAX_SERVER_NAMES:
            names.add(name)
        return name if name in names else "other"
