"""Clients of the 2026-07-28 revision: each POST stands alone, closing it cancels it."""

import asyncio
from collections.abc import Mapping
from typing import Any

from mcp.shared.inbound import (
    InboundLadderRejection,
    classify_inbound_request,
    find_duplicated_routing_header,
    validate_mcp_param_headers,
)

from flotilla import meta
from master import rpc
from master.catalogue import Catalogue
from master.north.exchange import Exchange
from master.north.methods import Methods, ended
from master.north.reply import Reply, event
from master.north.sessions import Outbox
from master.north.streams import pour

_SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId"
_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
MAX_LISTENERS = 2000


class Modern:
    """Answers single POSTs, and holds the listen streams that are open."""

    def __init__(self, methods: Methods, catalogue: Catalogue) -> None:
        self._methods = methods
        self._catalogue = catalogue
        self._listeners: dict[Outbox, rpc.Id] = {}
        self._stopping = False

    async def post(self, exchange: Exchange) -> None:
        try:
            exchange.check_accept()
            message = await exchange.message()
        except rpc.RpcError as error:
            await exchange.refuse(error)
            return
        if message.id is None:
            # This revision has no notifications from clients; one that comes anyway is harmless.
            await exchange.answer(202)
            return
        try:
            self._check(message, exchange)
        except rpc.RpcError as error:
            await exchange.refuse(error, message.id)
            return
        if message.method == "subscriptions/listen":
            await self._listen(message, exchange)
        else:
            await self._answer(message, message.id, exchange)

    async def tools_changed(self) -> None:
        for outbox, subscription in self._listeners.items():
            marks = {"_meta": {_SUBSCRIPTION_ID: subscription}}
            outbox.put(rpc.notification("notifications/tools/list_changed", marks))

    def stop(self) -> None:
        """End the listen streams and open no more."""
        self._stopping = True
        for outbox in self._listeners:
            outbox.close()

    async def _answer(self, message: rpc.Message, request_id: rpc.Id, exchange: Exchange) -> None:
        with Reply(exchange.send) as reply:
            capabilities = meta.members(message.meta.get(_CAPABILITIES))
            client = exchange.client(message, "modern", capabilities, reply)
            with exchange.logged(client):
                work = asyncio.create_task(self._methods.handle(message, client))
            gone = asyncio.create_task(exchange.gone())
            try:
                await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    await reply.end(*ended(work, request_id))
            finally:
                gone.cancel()
                if not work.done():
                    work.cancel()
                    await asyncio.wait({work})
                if not work.cancelled():
                    work.exception()  # looked at, or asyncio would log it as lost

    async def _listen(self, message: rpc.Message, exchange: Exchange) -> None:
        request_id = message.id
        assert request_id is not None
        if self._stopping or len(self._listeners) >= MAX_LISTENERS:
            why = "the hub is stopping" if self._stopping else "too many streams are open"
            await exchange.refuse(rpc.RpcError(rpc.INTERNAL_ERROR, why, status=503), request_id)
            return
        wanted = meta.members(message.params.get("notifications"))
        honoured = {"toolsListChanged": True} if wanted.get("toolsListChanged") is True else {}
        marks: Mapping[str, Any] = {_SUBSCRIPTION_ID: request_id}
        acknowledged = rpc.notification(
            "notifications/subscriptions/acknowledged",
            {"notifications": honoured, "_meta": marks},
        )
        outbox = Outbox()
        if honoured:
            self._listeners[outbox] = request_id
        try:
            await pour(exchange, outbox, event(acknowledged))
        finally:
            self._listeners.pop(outbox, None)

    def _check(self, message: rpc.Message, exchange: Exchange) -> None:
        """The headers must repeat the body; RpcError says which lies."""
        if doubled := find_duplicated_routing_header(exchange.header_lines):
            raise rpc.RpcError(-32020, f"{doubled} header appears more than once")
        body = {"method": message.method, "params": message.params}
        verdict = classify_inbound_request(body, headers=exchange.headers)
        if isinstance(verdict, InboundLadderRejection):
            raise rpc.RpcError(verdict.code, verdict.message, data=verdict.data)
        entry = self._catalogue.find_safe(str(message.params.get("name", "")))
        if message.method == "tools/call" and entry is not None and entry.declares_headers:
            arguments = meta.members(message.params.get("arguments"))
            wrong = validate_mcp_param_headers(
                entry.listed.get("inputSchema"), arguments, exchange.headers
            )
            if wrong is not None:
                raise rpc.RpcError(wrong.code, wrong.message, data=wrong.data)
