"""The bulk calls of a recipe: made for several units at once, answered for each organization alone."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from notification_sender.context.coalescing import Coalescer, Fetch
from notification_sender.context.facts import CountForeign, Kind
from notification_sender.context.graph import Source


class Bulk:
    """One coalescer for each kind of fact that is declared so."""

    def __init__(self, sources: Iterable[Source], resources: Mapping[str, Any], count_foreign: CountForeign) -> None:
        self._count_foreign = count_foreign
        self._coalescers = {
            source.kind.name: Coalescer(_fetch(source, resources), window=source.coalesce)
            for source in sources
            if source.coalesce is not None and source.kind is not None
        }

    async def records(self, kind: Kind, organization_id: str, ids: Sequence[str]) -> dict[str, Any]:
        """By id, the organization's own: the call was made for others too, and some APIs look at ids alone."""
        found = await self._coalescers[kind.name].records(ids)
        own = {id_: record for id_, record in found.items() if _owner(record) == organization_id}
        for _ in range(len(found) - len(own)):
            self._count_foreign(kind.name.rpartition(":")[2])
        return own


def _owner(record: Any) -> Any:
    return record.get("organization_id") if isinstance(record, dict) else None


def _fetch(source: Source, resources: Mapping[str, Any]) -> Fetch:
    async def fetch(ids: Sequence[str]) -> Mapping[str, Any]:
        records: Mapping[str, Any] = await source.fetch({**resources, "ids": ids})
        return records

    return fetch
