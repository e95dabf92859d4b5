"""A channel as another package brings it: one file, and one entry. It sends a message to a room of a chat server."""

import json

from notification_sender.channels.authoring import (
    Begin,
    ChannelResources,
    ChannelType,
    Destination,
    Notification,
    Receipt,
    Rejected,
    SchemaViolation,
    SendFailed,
    Sent,
    TransportError,
)


class Chat:
    name = "chat"
    parts = {"txt": False}  # noqa: RUF012 - nobody changes it
    fields = {"server": 200, "room": 40}  # noqa: RUF012 - as above

    def __init__(self, given: ChannelResources) -> None:
        self._given = given

    def address(self, destination: Destination) -> str:
        try:
            return f"{destination.extra['server']}/rooms/{destination.extra['room']}"
        except KeyError as fault:
            raise SchemaViolation(f"{destination.destination_id}: {fault} is missing") from None

    def host(self, address: str) -> str:
        return address.partition("/rooms/")[0]

    def check(self, organization_id: str, destination: Destination) -> None:
        """A destination needs no file of ours."""

    def sends_at_once(self, _organization_id: str, _destination: Destination) -> bool:
        return False

    async def send(self, notification: Notification, begin: Begin) -> Receipt:
        try:
            answer = await self._given.transport.exchange(
                "POST",
                self.address(notification.destination),
                [("authorization", f"Bearer {self._given.options['token']}"), ("x-id", notification.notification_id)],
                json.dumps({"text": notification.content["txt"]}).encode(),
                deadline=self._given.send_timeout,
                begin=begin,
                tls=None,
                organization=notification.organization_id,
            )
        except TransportError as fault:
            raise SendFailed.of(fault) from fault
        if answer.status >= 500:
            raise SendFailed(f"answered {answer.status}", sent=Sent.ANSWERED, ill=True, status=answer.status)
        if answer.status >= 300:
            raise Rejected(f"answered {answer.status}", status=answer.status)
        return Receipt(str(answer.status), status=answer.status)


chat = ChannelType(
    name="chat",
    parts=Chat.parts,
    create=Chat,
    throttle="60/minute burst 10",
    on_unknown="hold",
    options={"token": "Bearer token of the chat server."},
)
