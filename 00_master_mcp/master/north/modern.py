"""Clients of the 2026-07-28 revision: each POST stands alone, closing it cancels it."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, cast

from mcp.shared.inbound import (
    InboundLadderRejection,
    classify_inbound_request,
    find_duplicated_routing_header,
    validate_mcp_param_headers,
)

from flotilla import meta
from flotilla.serving.headers import RequestHeaders
from master import rpc
from master.call import TOOLS_CALL
from master.catalogue import Catalogue, View
from master.north.exchange import VERSION, Exchange
from master.north.introduction import MODERN_VERSIONS
from master.north.methods import Methods, answered
from master.north.reply import Reply, event
from master.north.sessions import Outbox
from master.north.streams import pour
from master.north.work import Work
from master.offer import Kind
from master.upstream.wire import CLIENT_CAPABILITIES

_SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId"
_VERSION = "io.modelcontextprotocol/protocolVersion"
_ENCODED = "=?"
"""How a header value begins that is not what it says (`=?base64?…?=`)."""
_CHANGES = ("toolsListChanged", "promptsListChanged", "resourcesListChanged")
MAX_LISTENERS = 2000


class _Listener:
    """One open listen stream."""

    def __init__(self, subscription: rpc.Id, view: View, changes: frozenset[str]) -> None:
        self.view = view
        self.changes = changes
        self.outbox = Outbox()
        self._marks = rpc.text_of({_SUBSCRIPTION_ID: subscription})

    def tell(self, method: str, params: rpc.Texts) -> None:
        self.outbox.put(rpc.notice(method, {**params, "_meta": self._marks}))

    def updated(self, params: rpc.Texts) -> None:
        self.tell("notifications/resources/updated", params)


class Modern:
    """Answers single POSTs, and holds the listen streams that are open."""

    def __init__(self, methods: Methods, catalogue: Catalogue) -> None:
        self._methods = methods
        self._catalogue = catalogue
        self._listeners: set[_Listener] = set()
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

    def changed(self, service: str, kinds: Collection[Kind]) -> None:
        """Tell who listens that these lists of a service are others now."""
        for listener in self._listeners:
            for what in self._catalogue.touched(listener.view, service, kinds):
                if f"{what}ListChanged" in listener.changes:
                    listener.tell(f"notifications/{what}/list_changed", {})

    def stop(self) -> None:
        """End the listen streams and open no more."""
        self._stopping = True
        for listener in self._listeners:
            listener.outbox.close()

    async def _answer(self, message: rpc.Message, request_id: rpc.Id, exchange: Exchange) -> None:
        with Reply(exchange.send) as reply:
            client = exchange.modern(message, reply)
            with exchange.logged(client), Work(exchange.gone):
                answer = await answered(self._methods.handle(message, client), request_id)
                await reply.finish(*answer)

    async def _listen(self, message: rpc.Message, exchange: Exchange) -> None:
        request_id = message.id
        assert request_id is not None
        if self._stopping or len(self._listeners) >= MAX_LISTENERS:
            why = "the hub is stopping" if self._stopping else "too many streams are open"
            await exchange.refuse(rpc.RpcError(rpc.INTERNAL_ERROR, why, status=503), request_id)
            return
        wanted = meta.members(message.params.get("notifications"))
        honoured: dict[str, Any] = {key: True for key in _CHANGES if wanted.get(key) is True}
        listener = _Listener(request_id, exchange.view, frozenset(honoured))
        try:
            if uris := await self._watched(wanted, listener, message, exchange):
                honoured["resourceSubscriptions"] = uris
            acknowledged = rpc.notification(
                "notifications/subscriptions/acknowledged",
                {"notifications": honoured, "_meta": {_SUBSCRIPTION_ID: request_id}},
            )
            if honoured:
                self._listeners.add(listener)
            await pour(exchange, listener.outbox, event(acknowledged))
        except rpc.RpcError as error:
            await exchange.refuse(error, request_id)
        finally:
            self._listeners.discard(listener)
            self._methods.subscriptions.drop(listener)

    async def _watched(
        self,
        wanted: Mapping[str, Any],
        listener: "_Listener",
        message: rpc.Message,
        exchange: Exchange,
    ) -> list[str]:
        """The resources whose changes the listener is told; those that nobody has are left out."""
        asked = wanted.get("resourceSubscriptions")
        if not isinstance(asked, list):
            return []
        client = exchange.modern(message, listener.outbox)
        known: list[str] = []
        services: set[str] = set()
        for uri in cast("list[object]", asked):
            if not isinstance(uri, str):
                continue
            try:
                entry = self._methods.found(uri, client)
            except rpc.RpcError:
                continue
            self._methods.subscriptions.add(
                listener, entry.service, entry.upstream_name, uri, listener.updated
            )
            known.append(uri)
            services.add(entry.service)
        # Told that it is subscribed, a client takes it that no change is lost from then on.
        await asyncio.gather(*map(self._methods.subscriptions.watched, services))
        return known

    def _check(self, message: rpc.Message, exchange: Exchange) -> None:
        """The headers must repeat the body; RpcError says which lies."""
        if not _agree(message, exchange.headers):
            self._look_closer(message, exchange)
        if message.method != "tools/call":
            return
        entry = self._catalogue.known(str(message.params.get("name", "")), exchange.view)
        if entry is not None and entry.declares_headers:
            arguments = meta.members(message.params.get("arguments"))
            wrong = validate_mcp_param_headers(
                entry.listed.get("inputSchema"), arguments, exchange.headers
            )
            if wrong is not None:
                raise rpc.RpcError(wrong.code, wrong.message, data=wrong.data)

    def _look_closer(self, message: rpc.Message, exchange: Exchange) -> None:
        if doubled := find_duplicated_routing_header(exchange.header_lines):
            raise rpc.RpcError(rpc.HEADER_MISMATCH, f"{doubled} header appears more than once")
        body = {"method": message.method, "params": message.params}
        verdict = classify_inbound_request(body, headers=exchange.headers)
        if isinstance(verdict, InboundLadderRejection):
            raise rpc.RpcError(verdict.code, verdict.message, data=verdict.data)


def _agree(message: rpc.Message, headers: RequestHeaders) -> bool:
    """Whether a call's headers repeat its body to the letter, each of them sent once.

    So it mostly is, and then nothing of the full ladder is left to ask.
    """
    name, marks = message.params.get("name"), message.meta
    return (
        headers.get("mcp-method") == message.method == TOOLS_CALL
        and headers.get("mcp-name") == name
        and isinstance(name, str)
        and not name.startswith(_ENCODED)
        and headers.get(VERSION) == marks.get(_VERSION) == MODERN_VERSIONS[0]
        and CLIENT_CAPABILITIES in marks
        and len(headers) == len(headers.lines)
    )
