"""The dependency graph of the simulated platform, and the recursive query as the real platform answers it."""

from collections import defaultdict, deque
from dataclasses import dataclass

from notification_sender.sandbox.platform.records import Record


@dataclass(frozen=True, slots=True)
class Edge:
    """``dependent`` (an intel request) waits for its blocker. ``deleted``: when the edge was deleted."""

    dependent: str
    deleted: str | None = None


class Dependencies:
    """A graph with all features of a real one: diamonds, cycles, deleted edges that are still listed."""

    def __init__(self) -> None:
        self.edges: dict[str, list[Edge]] = defaultdict(list)
        """Edges by blocker: an incident or an intel request."""

    def add(self, blocker: str, dependent: str, *, deleted: str | None = None) -> None:
        self.edges[blocker].append(Edge(dependent, deleted))

    def rows(self, root: str, root_type: str, max_distance: int | None) -> list[Record]:
        """Return one row for each path from ``root``, nearest first. A graph w wide and d deep has w^d paths.

        A deleted edge, and a dependent that is already on its own path (a cycle), are listed and not followed.
        Without ``max_distance`` the whole graph is searched.
        """
        found: list[Record] = []
        paths: deque[tuple[str, ...]] = deque([(root,)])
        while paths:
            path = paths.popleft()
            if max_distance is not None and len(path) > max_distance:
                break
            for edge in self.edges.get(path[-1], ()):
                found.append(_row(path, edge, root_type))
                if edge.deleted is None and edge.dependent not in path:
                    paths.append((*path, edge.dependent))
        return found

    def reached(self, root: str, max_distance: int) -> dict[str, int]:
        """Return each record that depends on ``root`` by edges that are not deleted, with its shortest distance."""
        distances: dict[str, int] = {}
        for row in self.rows(root, "", max_distance):
            if row["deleted"] is None:
                distances.setdefault(row["dependent_id"], row["dependency_distance"])
        return distances


def _row(path: tuple[str, ...], edge: Edge, root_type: str) -> Record:
    return {
        "dependent_type": "intel_requests",
        "dependent_id": edge.dependent,
        "blocker_type": root_type if len(path) == 1 else "intel_requests",
        "blocker_id": path[-1],
        "deleted": edge.deleted,
        "dependency_distance": len(path),
    }
