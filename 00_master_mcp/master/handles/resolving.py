"""Puts the values of stored secrets in the place of their handles, for the service alone."""

import copy
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, cast

from flotilla import FlotillaError, NotConfigured, RateLimited, UpstreamError
from flotilla.json_text import to_json
from flotilla.secret_text import HANDLE
from master import rpc
from master.audit.seam import AuditBook, Row
from master.call import Call
from master.handles.released import Released
from master.handles.spots import Path, is_handle, revealing_places
from master.upstream.operations import TIMEOUT_S, Operations

SECRETS = "secrets"
"""The service that keeps them."""
_SHOWN_CHARS = 12
"""Of a handle in the audit: enough to find its lease, too little to use it."""


class Handles:
    """Resolves through the secrets spoke; a value is known to the redactors before it goes on."""

    def __init__(
        self,
        operations: Operations | None,
        released: Released,
        audit: AuditBook,
        *,
        telling: Callable[[], Awaitable[None]],
        changed: Callable[[], None],
    ) -> None:
        """`operations`: None where the fleet has no secrets spoke.

        `telling` says that a value is about to go on, `changed` is told when a call may have
        changed what is stored.
        """
        self._operations = operations
        self._released = released
        self._audit = audit
        self._telling = telling
        self.changed = changed

    async def revealed(self, call: Call) -> Call:
        """The call for its service: a copy with the values, or itself where it has no handles.

        What waits for a person, the cache and the audit have the handles. Raises what the secrets
        spoke refused with, NotConfigured where there is none.
        """
        places = self._places(call)
        if not places:
            return call
        handles = sorted({str(_at(call.arguments, place)) for place in places})
        values = {handle: await self._resolved(handle, call) for handle in handles}
        for_service = copy.copy(call)
        for_service.arguments = _with_values(call.arguments, places, values)
        for_service.params = {
            **call.params,
            "arguments": _text_with_values(call.params["arguments"], places, values),
        }
        return for_service

    def _places(self, call: Call) -> list[Path]:
        entry = call.resolved()
        if not entry.takes_secrets:
            return []
        found = revealing_places(entry, call.arguments)
        return sorted((place for place in found if is_handle(_at(call.arguments, place))), key=repr)

    async def _resolved(self, handle: str, call: Call) -> str:
        if self._operations is None:
            raise NotConfigured(
                "this fleet keeps no secrets, so no handle can be resolved",
                hint=f"Start the service {SECRETS!r}; FLOTILLA_SERVICES may leave it out.",
            )
        if self._released.full:
            raise RateLimited(
                "too many different secrets were used within a day",
                retry_after_ms=3_600_000,
                hint="Nothing more is released before the hub may forget others.",
            )
        entry = call.resolved()
        asked = {"handle": handle, "tool": entry.name, "principal": call.principal.name}
        try:
            told = await self._operations.run(
                SECRETS,
                "resolve",
                asked,
                timeout_s=min(TIMEOUT_S, call.due().remaining_s()),
                correlation_id=call.correlation_id,
            )
            value = told.get("value")
            if not isinstance(value, str) or not value:
                raise UpstreamError("the secrets spoke resolved a handle to nothing")
        except FlotillaError as error:
            reason = str(error.details.get("reason", error.code))
            self._audit.note(self._row(call, handle, reason, {}))
            raise
        self._released.add([value])
        await self._telling()
        more = {key: told[key] for key in ("path", "version") if key in told}
        await self._audit.keep(self._row(call, handle, "ok", more))
        return value

    def _row(self, call: Call, handle: str, outcome: str, more: Mapping[str, Any]) -> Row:
        entry = call.resolved()
        shown = handle[: len(HANDLE) + _SHOWN_CHARS]
        return Row(
            kind="secret",
            principal=call.principal.name,
            roles=call.principal.roles,
            tool=entry.name,
            service=entry.service,
            outcome=outcome,
            approval=call.approval,
            correlation_id=call.correlation_id,
            details={"act": "handle.resolved", "handle": f"{shown}...", **more},
        )


def may_hold_handle(text: str) -> bool:
    """Whether the JSON text of arguments may have a handle in it, however it is escaped."""
    return HANDLE in text or "\\/" in text or "\\u" in text


def _at(value: Any, place: Iterable[str | int]) -> Any:
    for step in place:
        value = value[step]
    return value


def _with_values(
    arguments: Mapping[str, Any], places: Iterable[Path], values: Mapping[str, str]
) -> dict[str, Any]:
    """The arguments with the values, the same but for the way down to them."""
    changed = dict(arguments)
    for place in places:
        _put(changed, place, values)
    return changed


def _put(members: dict[str, Any], place: Path, values: Mapping[str, str]) -> None:
    into: Any = members
    for step in place[:-1]:
        inner = into[step]
        into[step] = (
            dict(cast("Mapping[str, Any]", inner)) if isinstance(inner, Mapping) else list(inner)
        )
        into = into[step]
    into[place[-1]] = values[into[place[-1]]]


def _text_with_values(text: str, places: Iterable[Path], values: Mapping[str, str]) -> str:
    """The JSON text of the arguments, written anew only in those that hold a value."""
    given, texts, _, _ = rpc.members(text)
    for name in {str(place[0]) for place in places}:
        within = [place for place in places if place[0] == name]
        texts[name] = to_json(_with_values({name: given[name]}, within, values)[name]).decode()
    return rpc.written(texts)
