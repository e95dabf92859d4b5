"""Publishers repeat themselves: the same units many times over, at once, to several processes."""

import asyncio
import os

from tests.faults.rig import Rig
from tests.faults.rows import row

IDS = int(os.environ.get("FAULT_IDS", "100"))
COPIES = int(os.environ.get("FAULT_COPIES", "75"))
PUBLISHERS = 5


@row(85, "75 copies of each unit, published at once", quick=False)
async def test_each_is_accepted_once_however_often_it_is_published(rig: Rig) -> None:
    units = rig.units(IDS)
    async with rig.workers(4):
        share = COPIES // PUBLISHERS
        await asyncio.gather(*(rig.publish(units, copies=share) for _ in range(PUBLISHERS)))
        await rig.account(within=60 + IDS * COPIES / 200)
