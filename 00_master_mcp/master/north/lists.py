"""`tools/list` and its like: the catalogue in pages, with cursors of our own."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from flotilla.json_text import from_json, to_json
from master import rpc
from master.catalogue import Catalogue, View
from master.north.client import Client
from master.north.introduction import FRESH, LIST_TTL_MS, complete
from master.offer import LIST_METHODS, Kind
from master.sight import EVERYTHING, Sight

PAGE = 1000
"""Items of one page. Several clients never ask for a second one, so it is a large one."""

KIND_OF: Mapping[str, Kind] = {method: kind for kind, method in LIST_METHODS.items()}


def listed(
    catalogue: Catalogue,
    message: rpc.Message,
    client: Client,
    sight: Sight = EVERYTHING,
    page: int = PAGE,
) -> str:
    """The JSON text of one page of a list."""
    kind = KIND_OF[message.method or ""]
    whole = catalogue.listing(client.view, kind, sight)
    start = _start(message.params.get("cursor"), kind, client.view)
    found: dict[str, Any] = {kind: whole[start : start + page]}
    if start + page < len(whole):
        found["nextCursor"] = _cursor(start + page, kind, client.view)
    if client.era == "handshake":
        return rpc.text_of(found)
    return complete({**found, **FRESH, "ttlMs": catalogue.ttl_ms(client.view, LIST_TTL_MS)})


def _cursor(start: int, kind: Kind, view: View) -> str:
    raw = to_json([start, kind, view.service, view.profile])
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _start(cursor: object, kind: Kind, view: View) -> int:
    """Where a page starts; RpcError for a cursor that no page of this list gave."""
    if cursor is None:
        return 0
    try:
        if not isinstance(cursor, str):
            raise ValueError
        found = from_json(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(found, list) or found[1:] != [kind, view.service, view.profile]:
            raise ValueError
        start = found[0]  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(start, int) or isinstance(start, bool) or start < 0:
            raise ValueError
    except (ValueError, binascii.Error):
        why = "cursor is not one that this list gave; start again without it"
        raise rpc.RpcError(rpc.INVALID_PARAMS, why) from None
    return start
