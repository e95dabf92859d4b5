"""`dead replay` is killed between two letters, and run again: each letter is delivered once."""

from asyncio.subprocess import Process

import pytest

from tests.e2e.command import command, started
from tests.faults.amqp import Amqp
from tests.faults.proxy import Proxy, Sight, asked, kill, replied
from tests.faults.rig import Rig
from tests.faults.rows import row
from tests.patience import patience

LETTERS, KILLED_AT = 10, 5
REPLAY = ("dead", "replay", "--rate", "1000/second", "--json")


class Replay:
    """The command as a process that a rule of a proxy may kill."""

    process: Process

    def kill(self) -> None:
        self.process.kill()

    def freeze(self) -> None:
        raise NotImplementedError

    async def ended(self) -> int:
        return await self.process.wait()


@row(135, "SIGKILL of `dead replay`, and it is run again")
@pytest.mark.parametrize(
    ("moment", "left"),
    [
        # The letter is in both queues then.
        pytest.param(replied("confirm", nth=KILLED_AT), LETTERS - KILLED_AT + 1, id="before the ack of a letter"),
        pytest.param(asked("queue.declare", nth=1), LETTERS, id="before the first letter"),
    ],
)
async def test_a_replay_that_is_killed_and_run_again_delivers_each_letter_once(
    rig: Rig, moment: Sight, left: int
) -> None:
    replay = Replay()
    async with rig.workers(1), Proxy(rig.rabbitmq.port, Amqp) as proxy:
        await rig.publish(rig.units(LETTERS, script=[400]))
        await rig.broker.holds("dead", LETTERS)
        fault = proxy.when(moment, kill(replay))
        through = rig.environment["NS_AMQP_URL"].replace(f":{rig.rabbitmq.port}/", f":{proxy.port}/")
        replay.process = await started(rig.environment | {"NS_AMQP_URL": through}, *REPLAY)
        async with patience(30):
            await fault.happened.wait()
        await rig.broker.holds("dead", left)
        again = await command(rig.environment, *REPLAY)
        assert again.code == 0, again.err
        await rig.account(since=fault.at, sends=2)
