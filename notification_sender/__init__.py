"""Takes work units from RabbitMQ, gathers context, renders it and delivers webhooks and emails, each once."""

from importlib.metadata import version

__version__ = version("notification-sender")
