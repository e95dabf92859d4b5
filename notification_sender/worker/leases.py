"""The claims that this process holds: renewed while there is work on them, given up when it is cut short."""

import asyncio

import structlog

from notification_sender.ports import Claim, Clock, Ledger

_log = structlog.get_logger()


class Held:
    """A lease is a promise to be done or dead by its end; work that takes longer renews it."""

    def __init__(self, *, ledger: Ledger, clock: Clock, lease: float) -> None:
        self._ledger = ledger
        self._clock = clock
        self._pause = lease / 3
        self._claims: dict[tuple[str, str], tuple[Claim, float]] = {}

    def take(self, claim: Claim | None) -> bool:
        """Renew ``claim`` from now on, until ``drop``. False: there is none, or it is renewed already."""
        if claim is None or _name(claim) in self._claims:
            return False
        self._claims[_name(claim)] = (claim, self._clock.monotonic())
        return True

    def drop(self, claim: Claim | None) -> None:
        """Renew it no more."""
        if claim is not None:
            self._claims.pop(_name(claim), None)

    async def renew_for_ever(self) -> None:
        """To be run beside the work. What is short is never renewed; a claim that is handed on while it is held, from
        sending to settling, begins anew here: within half a lease of either a renewal comes.
        """
        while True:
            await self._clock.sleep(self._pause)
            now = self._clock.monotonic()
            due = [claim for claim, since in self._claims.values() if now - since >= self._pause / 2]
            await asyncio.gather(*map(self._renew, due))

    async def _renew(self, claim: Claim) -> None:
        try:
            if not await self._ledger.renew(claim) and _name(claim) in self._claims:
                _log.warning("claim.lost", organization_id=claim.key.organization_id, id=claim.key.id)
        except Exception as fault:  # noqa: BLE001 - of one claim: all others have to be renewed again and again
            # The lease may end before the store is back; whoever claims then finds the outcome unknown.
            _log.warning("claim.not_renewed", id=claim.key.id, error=repr(fault))


def _name(claim: Claim) -> tuple[str, str]:
    """What tells it from every other of this process."""
    return claim.key.id, claim.token
