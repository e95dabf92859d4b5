"""A bulk call that is refused or unreadable is made again in parts, until the id at fault is alone."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from notification_sender.context.upstream.errors import BadAnswer, BadRecord, Broken, NotFound
from notification_sender.context.upstream.requesting_organization import SEVERAL, requesting_organization
from notification_sender.model.cause import NOBODY_KNOWS
from notification_sender.model.errors import ContextUnavailable, PlatformFault

MOST = 60
"""Further calls for one that failed: to find one id of a hundred takes 14. Ids that are left fail with it. Later they
are asked for again, without the ids that were found."""

BLIND = 12
"""Calls without a success after which the failure is not about one record: the API is asked no further."""

PROOF = 60.0
"""Seconds for which a success proves that the API answers such calls."""

DIVISIBLE = (BadAnswer, Broken, NotFound)
"""Errors that may be about one of the ids."""

Fetch = Callable[[Sequence[str]], Awaitable[Mapping[str, Any]]]
OnRecord = Callable[[str, Any], None]
"""Called once for each id: with its record, None where there is none, a BadRecord, or an error of the whole call."""


class Splitter:
    """The calls of one bulk source. ``kind`` names its records in errors."""

    def __init__(self, fetch: Fetch, *, kind: str) -> None:
        self._fetch = fetch
        self._kind = kind
        self._well = -math.inf

    async def fetch_all(self, owners: Mapping[str, str], on_record: OnRecord) -> None:
        """``owners``: by id, the organization that asks for it. A bad record of another organization costs one call."""
        by_owner: dict[str, list[str]] = {}
        for id_, owner in owners.items():
            by_owner.setdefault(owner, []).append(id_)
        if len(by_owner) > 1 and await self.ask(list(owners), SEVERAL, on_record) is None:
            return
        await asyncio.gather(*(_Search(self, owner, on_record).bisect(ids) for owner, ids in by_owner.items()))

    async def ask(self, ids: Sequence[str], owner: str, on_record: OnRecord) -> Exception | None:
        """Make one call. Returns the error that may be about one of the ids; None: ``on_record`` was called for all."""
        token = requesting_organization.set(owner)
        try:
            records = await self._fetch(ids)
            found = [records.get(id_) for id_ in ids]
        except DIVISIBLE as error:
            return error
        except Exception as error:  # noqa: BLE001 - the waiting callers get it, of any kind
            found = [error for _ in ids]
        else:
            self._well = asyncio.get_running_loop().time()
        finally:
            requesting_organization.reset(token)
        for id_, record in zip(ids, found, strict=True):
            on_record(id_, record)
        return None

    @property
    def proved(self) -> bool:
        """Whether the API has answered such a call within the last ``PROOF`` seconds."""
        return asyncio.get_running_loop().time() - self._well < PROOF

    def verdict(self, id_: str, error: Exception) -> Any:
        """The result of an id that failed alone."""
        words = f"{self._kind} {id_}: {error}"
        match error:
            case NotFound():
                return None if self.proved else error
            case BadRecord():
                return BadRecord(words, cause=error.cause)
            case BadAnswer() if self.proved:
                return BadRecord(words, cause=error.cause)
        return ContextUnavailable(words, cause=error.cause if isinstance(error, PlatformFault) else NOBODY_KNOWS)


class _Search:
    """The search among the ids of one organization."""

    def __init__(self, splitter: Splitter, owner: str, on_record: OnRecord) -> None:
        self._splitter = splitter
        self._owner = owner
        self._on_record = on_record
        self._calls = 0

    async def bisect(self, ids: Sequence[str]) -> None:
        """One call at a time, depth first: the sooner an id is alone, the sooner it is known whether it is at fault."""
        left, alone = [ids], dict[str, Exception]()
        while left:
            some = left.pop()
            error = await self._splitter.ask(some, self._owner, self._on_record)
            self._calls += 1
            if error is None:
                continue
            if len(some) == 1:
                alone[some[0]] = error
            elif self._spent:
                self._give_up([*some, *(id_ for others in left for id_ in others)], error)
                break
            else:
                middle = len(some) // 2
                left += [some[middle:], some[:middle]]
        for id_, error in alone.items():
            self._on_record(id_, self._splitter.verdict(id_, error))

    @property
    def _spent(self) -> bool:
        return self._calls > (MOST if self._splitter.proved else BLIND)

    def _give_up(self, ids: Sequence[str], error: Exception) -> None:
        for id_ in ids:
            self._on_record(id_, error)
