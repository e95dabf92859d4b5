"""The control server of a sandbox: the inbox page, a report, and the settings of each endpoint."""

import dataclasses
import time

import orjson
from aiohttp import web

from notification_sender.sandbox.behaviour import Behaviour
from notification_sender.sandbox.inbox.pages import InboxPages
from notification_sender.sandbox.platform.endpoints import Endpoint, answer, refusal
from notification_sender.sandbox.report import report
from notification_sender.sandbox.sandbox import Sandbox
from notification_sender.sandbox.serving import Handler, Server


class Control:
    """Serves the inbox page at ``/``, ``GET /report``, and ``POST /behaviours/{name}`` with a JSON object of settings.

    ``name``: an endpoint of the platform in capitals (``ASSETS``), a destination id or a mail address.
    """

    def __init__(self, sandbox: Sandbox, port: int = 0) -> None:
        self._sandbox = sandbox
        self._since = time.monotonic()
        routes: list[tuple[str, str, Handler]] = [
            ("GET", "/report", self._report),
            ("POST", "/behaviours/{name}", self._configure),
        ]
        self.server = Server([*routes, *InboxPages(sandbox.inbox, sandbox.world).routes], port, sandbox.host)

    async def _report(self, _: web.Request) -> web.Response:
        inbox, platform = self._sandbox.inbox, self._sandbox.platform
        accepted = len(inbox.accepted)
        seen = report(platform, inbox, units=accepted, expected=accepted, seconds=time.monotonic() - self._since)
        peaks = {str(endpoint): platform.behaviours[endpoint].peak for endpoint in Endpoint}
        facts = {"asked": platform.asked.total(), "different": len(platform.asked)}
        return answer(dataclasses.asdict(seen) | {"peaks": peaks, "api_peaks": platform.peaks, "facts": facts})

    async def _configure(self, request: web.Request) -> web.Response:
        behaviour = self._behaviour(request.match_info["name"])
        if behaviour is None:
            return refusal(404, "neither an endpoint nor a destination")
        try:
            behaviour.configure(**orjson.loads(await request.read()))
        except (ValueError, TypeError) as wrong:
            return refusal(422, str(wrong))
        return answer({})

    def _behaviour(self, name: str) -> Behaviour | None:
        if name in Endpoint.__members__:
            return self._sandbox.platform.behaviours[Endpoint[name]]
        destinations = self._sandbox.world.destinations.values()
        known = {it["destination_id"] for it in destinations} | {it.get("to") for it in destinations}
        return self._sandbox.inbox.behaviours[name] if name in known else None
