"""The claims that this process holds: renewed while they are worked on, given up when the process cuts that short."""

import asyncio

import structlog

from notification_sender.model.errors import Unready
from notification_sender.ports.clock import Clock
from notification_sender.ports.ledger import Claim, Ledger

_log = structlog.get_logger()


class LeaseKeeper:
    """Renews the leases of claims whose work takes long, every third of a lease."""

    def __init__(self, *, ledger: Ledger, clock: Clock, lease: float) -> None:
        self._ledger = ledger
        self._clock = clock
        self._pause = lease / 3
        self._claims: dict[int, tuple[Claim, float]] = {}
        """With the time since when each is held, by identity: a claim is passed on, never copied."""

    def take(self, claim: Claim | None) -> bool:
        """Renew ``claim`` from now on, until ``drop``. False: there is none, or it is renewed already."""
        if claim is None or (identity := id(claim)) in self._claims:
            return False
        self._claims[identity] = (claim, self._clock.monotonic())
        return True

    def drop(self, claim: Claim | None) -> None:
        """Stop renewing it."""
        if claim is not None:
            self._claims.pop(id(claim), None)

    async def give_up(self, claim: Claim, attempt: int) -> None:
        """The process ends in the middle of the work: another worker may claim it at once."""
        try:
            await self._ledger.release(claim, attempt)
        except Unready as fault:
            # One try only, because there is no time left. Another worker may claim it when the lease has run out.
            _log.warning("claim.not_given_up", id=claim.key.id, error=str(fault))

    async def renew_for_ever(self) -> None:
        """Run in the background. Short work is never renewed. A claim that passes from sending to settling starts its
        time here anew, and each part renews it within half a lease.
        """
        while True:
            await self._clock.sleep(self._pause)
            now = self._clock.monotonic()
            due = [claim for claim, since in self._claims.values() if now - since >= self._pause / 2]
            await asyncio.gather(*map(self._renew, due))

    async def _renew(self, claim: Claim) -> None:
        try:
            if not await self._ledger.renew(claim) and id(claim) in self._claims:
                _log.warning("claim.lost", organization_id=claim.key.organization_id, id=claim.key.id)
        except Exception as fault:  # noqa: BLE001 - a fault of one claim must not stop the renewals of the others
            # The lease may end before Redis is back; the next holder then finds the outcome unknown.
            _log.warning("claim.not_renewed", id=claim.key.id, error=repr(fault))
