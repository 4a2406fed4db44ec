"""Speaks 2026-07-28 over Streamable HTTP: one POST a request, and a listen stream beside them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import closing
from typing import Any

from flotilla import Deadline, FlotillaError, UpstreamError, meta
from flotilla.json_text import from_json
from master import rpc
from master.call import Call
from master.offer import Offer
from master.result import HOP, Result
from master.upstream import wire
from master.upstream.authority import Authority
from master.upstream.http import Http
from master.upstream.incoming import (
    EVENT_STREAM,
    Incoming,
    Large,
    message_of,
    messages_of,
    whole,
)
from master.upstream.link import Standing, Told
from master.upstream.listing import offer_of
from master.upstream.watching import Watching

ASK_S = 10.0
"""How long a list may take."""
SILENCE_S = 45.0
"""A listen stream that says nothing for three of the server's keep-alives is dead."""
POLL_S = 30.0
"""How often a server without a listen stream is asked what it offers."""

_CHANGES = ("toolsListChanged", "promptsListChanged", "resourcesListChanged")
_CHANGED = "list_changed"


class Modern:
    """One server. `ready` asks its `/ready` too, which our own services have."""

    def __init__(self, http: Http, authority: Authority, *, ready: bool = False) -> None:
        self._http = http
        self._authority = authority
        self._ready = ready
        self._watching = Watching(self._updates)
        self._told: Told | None = None

    async def hold(self, told: Told) -> None:
        self._told = told
        watching = asyncio.create_task(self._watching.run())
        try:
            await self._hold_lists(told)
        finally:
            watching.cancel()
            await asyncio.wait({watching})

    async def send(self, call: Call) -> Result:
        body, headers = wire.forwarded(call)
        headers |= wire.call_headers(call)
        headers |= self._authority.of_call(call, body)
        http = self._http
        with closing(await http.request(body, headers, call.due())) as response:
            if response.content_type == EVENT_STREAM:
                async for reply in messages_of(response, http.scrub):
                    result = await self._relayed(reply, call)
                    if result is not None:
                        return result
            else:
                # Most answers are one small message: no generator stands between them and us.
                only = await message_of(response, http.scrub)
                if only is not None:
                    result = await self._relayed(only, call)
                    if result is not None:
                        return result
        raise http.broke_off()

    async def probe(self, timeout_s: float) -> str | None:
        deadline = Deadline.after(timeout_s)
        await self.ask("server/discover", {}, timeout_s)
        if not self._ready:
            return None
        try:
            status, body = await self._http.get("/ready", deadline.remaining_s())
        except FlotillaError:
            # It has answered a request of MCP: so it is there, whatever keeps it from serving.
            return "/ready did not answer"
        if status == 200:
            return None
        try:
            said = meta.members(from_json(body)).get("reason")
        except ValueError:
            said = None
        return str(said or f"/ready answered {status}")[:500]

    async def knock(self, timeout_s: float) -> None:
        await self._http.knock(self._authority.of_hub(), timeout_s)

    async def look(self, timeout_s: float) -> Standing:
        self._http.drop_idle()
        await self.ask("server/discover", {}, timeout_s)
        # The stream of changes may be dead without telling; no call hangs on it.
        return "deaf"

    def watch(self, uris: frozenset[str]) -> None:
        self._watching.want(uris)

    async def watched(self) -> None:
        await self._watching.settled()

    async def log_level(self, level: str) -> None:
        """Each request of this revision says for itself what it wants to hear."""

    async def ask(
        self, method: str, params: Mapping[str, Any], timeout_s: float = ASK_S
    ) -> Mapping[str, Any]:
        """One request in the hub's own name."""
        body, headers = wire.request(method, params, {})
        headers |= self._authority.of_hub()
        deadline = Deadline.after(timeout_s)
        with closing(await self._http.request(body, headers, deadline)) as response:
            async for reply in messages_of(response, self._http.scrub):
                reply = await whole(reply)
                if reply.is_response:
                    return reply.result()
        raise self._http.broke_off()

    async def _relayed(self, reply: Incoming, call: Call) -> Result | None:
        """The result that a message brings; one that brings none is passed on."""
        if isinstance(reply, Large):
            is_error = await call.hearer.pour(reply.pieces())
            return Result({"isError": "true"} if is_error else {}, poured=True)
        if reply.is_response:
            if reply.values.get("id") not in (wire.REQUEST_ID, None):
                raise UpstreamError("the server answered a request that was not sent")
            reply.result()
            return Result(reply.texts)
        await call.hearer.notify(reply.method, reply.texts)
        return None

    async def _hold_lists(self, told: Told) -> None:
        try:
            await self._listen(told)
        except rpc.RpcError as error:
            if error.code != rpc.METHOD_NOT_FOUND:
                raise
            while True:
                await self._refresh(told)
                await asyncio.sleep(POLL_S)

    async def _listen(self, told: Told) -> None:
        """Hold a listen stream and refresh the lists whenever it says so; returns when it ends."""
        async for reply in self._stream(dict.fromkeys(_CHANGES, True)):
            if reply.method.endswith(("/acknowledged", _CHANGED)):
                # The acknowledgement comes first: only now is no change lost any more.
                await self._refresh(told)
            else:
                told.said(reply.method, reply.texts)

    async def _updates(self, uris: frozenset[str], acknowledged: Callable[[], None]) -> None:
        async for reply in self._stream({"resourceSubscriptions": sorted(uris)}):
            if reply.method.endswith("/acknowledged"):
                acknowledged()
            elif reply.method == "notifications/resources/updated" and self._told is not None:
                self._told.updated(str(reply.params.get("uri", "")), reply.texts)

    async def _stream(self, wanted: Mapping[str, Any]) -> AsyncGenerator[wire.Received]:
        """What a listen stream tells, until its server ends it."""
        body, headers = wire.request("subscriptions/listen", {"notifications": wanted}, {})
        headers |= self._authority.of_hub()
        response = await self._http.request(body, headers, None, SILENCE_S)
        with closing(response):
            async for reply in messages_of(response, self._http.scrub):
                reply = await whole(reply)
                if reply.is_response:
                    reply.result()
                    return
                yield reply

    async def _refresh(self, told: Told) -> None:
        told.offered(await self.offer())

    async def offer(self) -> Offer:
        found = await self.ask("server/discover", {})
        info = meta.members(meta.marks_of(found).get(f"{HOP}serverInfo"))
        return await offer_of(self.ask, found, info)
