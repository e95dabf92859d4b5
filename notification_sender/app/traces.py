"""Builds what makes and exports traces."""

from notification_sender.app.backends import topology
from notification_sender.model.errors import ConfigurationFault
from notification_sender.ports.broker import Lane
from notification_sender.ports.clock import Clock
from notification_sender.settings import Settings
from notification_sender.telemetry.traces import Traces


def traces(settings: Settings, clock: Clock) -> Traces | None:
    """None where they are off.

    Raises:
        ConfigurationFault: the packages for it are not installed, or a variable of theirs has a wrong value.
    """
    if settings.traces == "off":
        return None
    try:
        from notification_sender.adapters.otel import OtelSpans  # noqa: PLC0415 - may not be installed
    except ImportError as fault:
        raise ConfigurationFault(
            f"NS_TRACES is on, but {fault.name} is not installed: pip install 'notification-sender[otel]'"
        ) from fault
    names = topology(settings)
    return Traces(OtelSpans.from_environment(), clock=clock, queues={lane: names.queue(lane) for lane in Lane})
