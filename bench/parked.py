"""``python -m bench.parked``: many parked messages, the broker killed while they wait: does each come back on time?

Prints how many came back, how late, and how early at most. Delays are whole seconds: the ladder is what is measured.
"""

import argparse
import asyncio
import sys
import time
from random import Random

from bench.figures import percentile
from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.broker import RabbitMQ
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.ports.broker import Envelope, Lane, MessageState, Parked
from tests.services.rabbitmq import RabbitMQ as Node
from tests.services.rabbitmq import running_rabbitmq

AT_ONCE = 500
PREFETCH = 2000


async def park(broker: RabbitMQ, number: int, first: float, spread: float) -> None:
    """All of them due between ``first`` (monotonic) and ``spread`` seconds later."""
    dice = Random(number)
    places = iter(range(number))

    async def some() -> None:
        for place in places:
            delay = round(first + dice.random() * spread - time.monotonic())
            body = b'{"place":%d}' % place
            await broker.park(Parked(Lane.NOTIFICATIONS, body, float(delay), MessageState(time.time())))

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


async def returned(broker: RabbitMQ, number: int, patience: float) -> dict[bytes, float]:
    """How late each came, s; negative: early."""
    late: dict[bytes, float] = {}
    everybody = asyncio.Event()
    acks: set[asyncio.Task[None]] = set()

    def take(envelope: Envelope) -> None:
        late.setdefault(envelope.body, time.time() - envelope.due)
        task = asyncio.get_running_loop().create_task(broker.ack(envelope))
        acks.add(task)
        task.add_done_callback(acks.discard)
        if len(late) == number:
            everybody.set()

    await broker.consume(Lane.NOTIFICATIONS, PREFETCH, take)
    try:
        await asyncio.wait_for(everybody.wait(), patience)
    except TimeoutError:
        print(f"only {len(late)} came back in time", file=sys.stderr)
    return late


async def measure(node: Node, number: int, parking: float, spread: float) -> int:
    """0, or 1 where one was lost."""
    broker = RabbitMQ(address=BrokerAddress(node.url), topology=Topology("parked"), clock=SystemClock())
    await broker.connect()
    began = time.monotonic()
    await park(broker, number, began + parking, spread)
    took = time.monotonic() - began
    print(f"{number} parked in {took:.1f} s, {number / took:.0f} a second")
    await asyncio.to_thread(node.kill)
    killed = time.monotonic()
    await asyncio.to_thread(node.start)
    await broker.wait_ready()
    print(f"broker killed, and there again after {time.monotonic() - killed:.1f} s")
    print(f"the first is due {began + parking - time.monotonic():.0f} s later")
    late = await returned(broker, number, parking + spread + 120)
    seconds = list(late.values())
    p50, p99 = percentile(seconds, 50), percentile(seconds, 99)
    print(
        f"{len(late)} of {number} came back: p50 {p50:.3f} s late, p99 {p99:.3f} s, at most {max(seconds):.3f} s; "
        f"at most {max(0.0, -min(seconds)):.3f} s early"
    )
    await broker.close()
    return 0 if len(late) == number else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.parked", description=__doc__)
    parser.add_argument("--number", type=int, default=100_000)
    parser.add_argument("--parking", type=float, default=120.0, help="seconds until the first is due")
    parser.add_argument(
        "--spread",
        type=float,
        default=480.0,
        help="seconds over which they come due: in too few, what is measured is how many a second a broker moves",
    )
    chosen = parser.parse_args()
    with running_rabbitmq() as node:
        return asyncio.run(measure(node, chosen.number, chosen.parking, chosen.spread))


if __name__ == "__main__":
    sys.exit(main())
