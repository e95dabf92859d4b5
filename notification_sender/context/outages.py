"""Which APIs are out, and whether a unit may be begun all the same."""

import asyncio


class Outages:
    """As ``ports.Platform``: ``lets_in`` only asks, ``enters`` uses a probe up."""

    def lets_in(self) -> bool:
        return True

    def enters(self) -> None: ...

    def blame(self, error: Exception) -> None: ...

    async def changed(self) -> None:
        await asyncio.Event().wait()
