"""Every option of the worker: why it is there, its default, its range, and how it stands to the others."""

from notification_sender.settings.options import Settings

__all__ = ["Settings"]
