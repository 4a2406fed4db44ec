"""Reads a source to its end, page by page, and hands each page on; none of it stays in the hub."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol, cast

import structlog
from pydantic import ValidationError

from flotilla import (
    FlotillaError,
    InvalidArgument,
    NotAllowed,
    NotConfigured,
    NotFound,
    RateLimited,
    TimedOut,
    TooLarge,
    UpstreamError,
)
from flotilla.discovery import DESCRIBE, MAX_ITEMS, PAGE, Described
from flotilla.json_text import to_json
from flotilla.operations import NO_OPERATION
from master.audit.seam import AuditBook, Row
from master.call import Call
from master.catalogue import Catalogue
from master.entry import Entry, View
from master.gathering.wanted import Wanted
from master.policy.seam import Policy, Verdict
from master.stages.audit import CANCELLED, OK
from master.stages.authorise import denial, profile_of
from master.upstream.operations import limited

log = structlog.get_logger(__name__)

MAX_PAGES = 2000
MAX_BYTES = 256 * 1024 * 1024
"""Of all pages together, as they are handed on."""
MAX_AT_ONCE = 4
"""Each takes a source and the tool's service for minutes."""
_DROP_S = 5.0


class Asks(Protocol):
    """Has a service of the fleet do an operation for the hub; raises FlotillaErrors."""

    async def run(
        self,
        service: str,
        name: str,
        body: Mapping[str, Any] | bytes,
        *,
        timeout_s: float = ...,
        correlation_id: str | None = ...,
    ) -> Mapping[str, Any]: ...


class Gatherer:
    """Gathers for callers who may call the tool that the source names for that."""

    def __init__(
        self, operations: Asks, catalogue: Catalogue, policy: Policy, audit: AuditBook
    ) -> None:
        self._operations = operations
        self._catalogue = catalogue
        self._policy = policy
        self._audit = audit
        self._running = 0
        self._dropping: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def gathered(self, call: Call, wanted: Wanted) -> AsyncGenerator[str]:
        """The ID of a whole gathering, which is gone when the block ends, however it does.

        NotAllowed names the rule where the caller may not see what the source sees; otherwise the
        errors of the source, RateLimited, TooLarge, TimedOut.
        """
        if self._running >= MAX_AT_ONCE:
            raise RateLimited(
                f"{self._running} sources are being read just now", retry_after_ms=5000
            )
        gathering = secrets.token_urlsafe(32)
        begun = False
        self._running += 1
        try:
            described = await self._described(call, wanted)
            verdict = self._judged(call, wanted, described)
            begun = True
            await self._written(call, wanted, described, verdict, gathering)
            yield gathering
        finally:
            self._running -= 1
            if begun:
                # By itself, since the call may be cancelled, and nobody waits for it.
                task = asyncio.create_task(self._drop(call, wanted, gathering))
                self._dropping.add(task)
                task.add_done_callback(self._dropping.discard)

    async def _described(self, call: Call, wanted: Wanted) -> Described:
        if not self._in_sight(call, wanted.service):
            raise NotFound(
                f"there is no service {wanted.service[:64]!r} whose source you could see",
                hint="Name the service of a tool that you can list.",
            )
        try:
            told = await self._ask(call, wanted.service, DESCRIBE, {"within": wanted.within})
            return Described.model_validate(told)
        except NotFound as error:
            if error.details.get("reason") != NO_OPERATION:
                raise
            raise InvalidArgument(
                f"{wanted.service} has no source that says what really runs"
            ) from None
        except ValidationError:
            raise UpstreamError(f"{wanted.service} describes its source in no way known") from None

    def _in_sight(self, call: Call, service: str) -> bool:
        sight = self._policy.sight(call.principal)
        entries = self._catalogue.tools(_view(call, service))
        return any(entry.service == service and sight.sees(entry) for entry in entries)

    def _judged(self, call: Call, wanted: Wanted, described: Described) -> Verdict:
        """The verdict on a call of the tool that the source names; NotAllowed where it is no."""
        view = _view(call, wanted.service)
        entry = self._catalogue.known(described.tool, view)
        if entry is None or entry.service != wanted.service or not entry.only_reads:
            raise NotAllowed(
                f"{described.tool[:64]}, which the source of {wanted.service} stands for, is no "
                "tool that you could call",
                hint="The profile of this endpoint may leave it out.",
            )
        if entry.missing_settings is not None:
            raise NotConfigured(entry.missing_settings)
        verdict = self._policy.judge(
            call.principal,
            entry,
            described.within,
            interactive=call.interactive,
            profile=profile_of(view),
        )
        error = _refusal(verdict, call, entry)
        if error is not None:
            self._audit.note(_row(call, wanted, described, verdict, error.code, {}))
            raise error
        return verdict

    async def _written(
        self, call: Call, wanted: Wanted, described: Described, verdict: Verdict, gathering: str
    ) -> None:
        """Gather it all, and have the audit say how much of what that was, however it ends."""
        outcome, told = FlotillaError.code, _Told()
        try:
            await self._all(call, wanted, described, gathering, told)
            outcome = OK
        except FlotillaError as error:
            outcome = error.code
            raise
        except asyncio.CancelledError:
            outcome = CANCELLED
            raise
        finally:
            self._audit.note(_row(call, wanted, described, verdict, outcome, told.as_json()))

    async def _all(
        self, call: Call, wanted: Wanted, described: Described, gathering: str, told: "_Told"
    ) -> None:
        cursor: str | None = None
        cursors: set[str] = set()
        keeper = call.resolved().service
        while True:
            # What was judged is what is read, whatever the caller wrote.
            asked = {"within": described.within, "cursor": cursor}
            page = await self._page(call, wanted.service, asked, told.pages)
            items, relations = (_list(page, name) for name in ("items", "relations"))
            following = page.get("nextCursor")
            body = to_json(
                {
                    "gathering": gathering,
                    "principal": call.principal.name,
                    "source": wanted.service,
                    "covers": described.covers.model_dump(mode="json", by_alias=True),
                    "page": told.pages,
                    "items": items,
                    "relations": relations,
                    "complete": following is None,
                }
            )
            told.add(len(items), len(relations), len(body))
            if told.items > MAX_ITEMS or told.pages > MAX_PAGES or told.bytes > MAX_BYTES:
                raise TooLarge(
                    f"{wanted.service} sees more than {MAX_ITEMS} items, or too much of them",
                    hint="Narrow `within`.",
                )
            await self._ask(call, keeper, wanted.page, body)
            await call.hearer.report(told.items, None, f"{told.items} items of {wanted.service}")
            if following is None:
                return
            if not isinstance(following, str) or following in cursors:
                raise UpstreamError(f"{wanted.service} pages in circles")
            cursors.add(following)
            cursor = following

    async def _page(
        self, call: Call, service: str, asked: Mapping[str, Any], number: int
    ) -> Mapping[str, Any]:
        try:
            return await self._ask(call, service, PAGE, asked)
        except FlotillaError as error:
            raise _broken_off(service, number, error) from None

    async def _ask(
        self, call: Call, service: str, name: str, body: Mapping[str, Any] | bytes
    ) -> Mapping[str, Any]:
        left_s = call.due().remaining_s()
        if left_s <= 0:
            raise TimedOut("what the source sees was not gathered before the deadline")
        return await self._operations.run(
            service, name, body, timeout_s=left_s, correlation_id=call.correlation_id
        )

    async def _drop(self, call: Call, wanted: Wanted, gathering: str) -> None:
        try:
            await self._operations.run(
                call.resolved().service,
                wanted.drop,
                {"gathering": gathering},
                timeout_s=_DROP_S,
                correlation_id=call.correlation_id,
            )
        except FlotillaError as error:
            # Its service drops what grows old.
            log.warning("gathering_not_dropped", service=wanted.service, reason=error.code)


class _Told:
    """How much of a source has been told."""

    def __init__(self) -> None:
        self.pages = self.items = self.relations = self.bytes = 0

    def add(self, items: int, relations: int, size: int) -> None:
        self.pages += 1
        self.items += items
        self.relations += relations
        self.bytes += size

    def as_json(self) -> Mapping[str, int]:
        return {"pages": self.pages, "items": self.items, "relations": self.relations}


def _list(page: Mapping[str, Any], name: str) -> list[Any]:
    found = page.get(name)
    if not isinstance(found, list):
        raise UpstreamError(f"a source answered with no {name}")
    return cast("list[Any]", found)


def _view(call: Call, service: str) -> View:
    """What the caller sees of that service: what its profile does, if it came by one."""
    if call.view.service is None:
        return View("dotted", profile=call.view.profile)
    return View("dotted", service)


def _refusal(verdict: Verdict, call: Call, entry: Entry) -> FlotillaError | None:
    if not verdict.allowed:
        return denial(verdict, call.principal, entry)
    asks = verdict.consent in ("always", "four_eyes")
    if asks or (verdict.consent == "usual" and entry.needs_approval):
        return NotAllowed(
            f"{entry.name} itself waits for a person, so that nothing can be gathered by it",
            details={"rules": list(verdict.rules)},
        )
    return None


def _broken_off(service: str, number: int, error: FlotillaError) -> FlotillaError:
    """The error of a page as that of the whole; its code and details stay."""
    message = f"{service} broke off at page {number + 1} of what it sees: {error.message}"
    hint = error.hint or "Nothing was planned; call again."
    if isinstance(error, RateLimited):
        return limited(message, hint, error.details)
    return type(error)(message, hint=hint, details=error.details)


def _row(
    call: Call,
    wanted: Wanted,
    described: Described,
    verdict: Verdict,
    outcome: str,
    told: Mapping[str, int],
) -> Row:
    return Row(
        kind="call",
        principal=call.principal.name,
        roles=call.principal.roles,
        tool=described.tool,
        service=wanted.service,
        arguments=described.within,
        outcome=outcome,
        rules=verdict.rules,
        approval=call.approval,
        correlation_id=call.correlation_id,
        details={"gatheredFor": call.resolved().name, **told},
    )
