"""Inspects RabbitMQ without changing anything, for ``notification-sender check``."""

from collections.abc import Sequence
from dataclasses import dataclass

from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.broker import WayOut
from notification_sender.adapters.rabbitmq.connection import BrokerConnection
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.adapters.rabbitmq.unroutable import finds_a_queue
from notification_sender.model.errors import ConfigurationFault
from notification_sender.ports.clock import Clock


@dataclass(frozen=True, slots=True)
class BrokerState:
    """The state of our queues and exchanges."""

    missing: list[str]
    """Queues and exchanges that are not declared yet."""
    may_declare: bool | None
    """Whether our user may declare them; None: unknown, because no exchange exists to test it on."""
    way_out: WayOut | None
    """How the ladder gets rid of an unroutable message; None: unknown."""
    policy: str
    """The command that gives an older ladder its way out."""
    differing: Sequence[str] = ()
    """Queues with other arguments than ours, and what RabbitMQ says of each."""


async def inspect(address: BrokerAddress, topology: Topology, clock: Clock) -> BrokerState:
    """Connect, inspect and disconnect.

    Raises:
        ConfigurationFault: the broker refuses us, or its certificate is not trusted.
        Unready: the broker cannot be asked; the text says why.
    """
    link = BrokerConnection(address=address, purpose="check", clock=clock)
    try:
        await link.open_once()
        missing = await topology.missing(link.spare_channel)
        policy = topology.policy(link.virtual_host)
        if f"exchange {topology.exit}" in missing:
            return BrokerState(missing, None, None, policy)
        try:
            # The exchange exists, so this declares nothing. It is the only way to see the exchange's arguments.
            by_argument = await topology.declare_exit(link.spare_channel)
        except ConfigurationFault:
            return BrokerState(missing, may_declare=False, way_out=None, policy=policy)
        differing = await topology.differing(link.spare_channel, missing)
        if by_argument:
            way_out = WayOut.ARGUMENT
        else:
            way_out = WayOut.POLICY if await finds_a_queue(link, topology.exit) else WayOut.NONE
        return BrokerState(missing, may_declare=True, way_out=way_out, policy=policy, differing=differing)
    finally:
        await link.close()
