"""Every option of the worker: its purpose, default and range, and its relations to other options."""

from notification_sender.settings.loading import Settings

__all__ = ["Settings"]
