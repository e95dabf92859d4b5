"""The objectives, as the fleet keeps them: counted by its processes, and added up in Redis."""

from notification_sender.app.admin import connected_store
from notification_sender.policy.objectives import ObjectiveState, states
from notification_sender.settings import Settings


async def objective_states(settings: Settings) -> list[ObjectiveState]:
    """The state of each objective.

    Raises:
        Unready: Redis is away.
    """
    async with connected_store(settings) as opened:
        view, recent, whole = await opened.fleet_view(), *await opened.reports.objectives()
    return list(states(recent, whole, known=not view.no_reports))
