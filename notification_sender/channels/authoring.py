"""What authors of channels import: everything a channel needs, from one place that stays."""

from notification_sender.channels.registry import Capacity, ChannelResources, ChannelType
from notification_sender.model.destination import Destination
from notification_sender.model.errors import Gone, Rejected, SchemaViolation, SendFailed, Sent, SlowDown, TransportError
from notification_sender.model.notification import Notification
from notification_sender.model.outcome import Receipt
from notification_sender.ports.channels import Begin

__all__ = [
    "Begin",
    "Capacity",
    "ChannelResources",
    "ChannelType",
    "Destination",
    "Gone",
    "Notification",
    "Receipt",
    "Rejected",
    "SchemaViolation",
    "SendFailed",
    "Sent",
    "SlowDown",
    "TransportError",
]
