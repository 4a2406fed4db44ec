"""Reads what a server offers: every list that its capabilities announce, to the last page."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from flotilla import UpstreamError, meta
from master import rpc
from master.offer import CAPABILITIES, KINDS, LIST_METHODS, Kind, Listed, Offer

MAX_PAGES = 100
MAX_ITEMS = 20_000
"""Of one list; a server that lists more is broken or means harm."""

Ask = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""A method and its params to the members of its result."""


async def offer_of(ask: Ask, found: Mapping[str, Any], info: Mapping[str, Any]) -> Offer:
    """What a server offers whose answer to `initialize` or `server/discover` was `found`.

    Raises what `ask` raises, and UpstreamError for lists that do not end.
    """
    capabilities = meta.members(found.get("capabilities"))
    lists: dict[Kind, tuple[Listed, ...]] = {}
    ttls: list[int] = []
    for kind in KINDS:
        if CAPABILITIES[kind] in capabilities:
            lists[kind] = await _whole(ask, kind, ttls)
    instructions, version = found.get("instructions"), info.get("version")
    return Offer(
        lists,
        capabilities,
        instructions if isinstance(instructions, str) else None,
        str(version)[:100] if version else None,
        min(ttls, default=None),
    )


async def _whole(ask: Ask, kind: Kind, ttls: list[int]) -> tuple[Listed, ...]:
    items: list[Listed] = []
    params: dict[str, Any] = {}
    for _ in range(MAX_PAGES):
        try:
            page = await ask(LIST_METHODS[kind], params)
        except rpc.RpcError as error:
            if error.code == rpc.METHOD_NOT_FOUND and not items:
                # Many servers announce resources and have no templates.
                return ()
            raise
        listed = page.get(kind)
        if not isinstance(listed, list):
            raise UpstreamError(f"{LIST_METHODS[kind]} answered without a list")
        found = cast("list[object]", listed)
        items += [meta.members(item) for item in found if isinstance(item, dict)]
        if isinstance(ttl := page.get("ttlMs"), int) and not isinstance(ttl, bool) and ttl >= 0:
            ttls.append(ttl)
        cursor = page.get("nextCursor")
        if not isinstance(cursor, str):
            return tuple(items)
        if len(items) > MAX_ITEMS:
            break
        params = {"cursor": cursor}
    raise UpstreamError(f"{LIST_METHODS[kind]} did not end within {MAX_PAGES} pages")
