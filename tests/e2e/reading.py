"""What arrived, as whoever gets it reads it."""

from collections.abc import Iterable
from typing import Any

import orjson
from aio_pika.abc import AbstractIncomingMessage

from notification_sender.sandbox.inbox.inbox import Inbox, ReceivedWebhook


def headers(post: ReceivedWebhook) -> dict[str, str]:
    """By name in small letters."""
    return {name.lower(): value for name, value in post.headers}


def payload(post: ReceivedWebhook) -> Any:
    return orjson.loads(post.body)


def degraded(post: ReceivedWebhook) -> list[str]:
    """What is missing or old, but for the address: it has 300 ms to come, and the machine may be slow."""
    return [it for it in payload(post)["data"]["degraded"] if it != "address"]


def posts_at(inbox: Inbox, destination_id: str) -> list[ReceivedWebhook]:
    return [post for post in inbox.webhooks if post.destination_id == destination_id]


def reasons(letters: Iterable[AbstractIncomingMessage]) -> dict[str, object]:
    """Why each is dead: by destination where it is a notification, else by work unit."""
    return {_whose(orjson.loads(letter.body)): letter.headers["x-reason"] for letter in letters}


def _whose(body: dict[str, Any]) -> str:
    name: str = body["destination"]["destination_id"] if "notification_id" in body else body["work_unit_id"]
    return name
