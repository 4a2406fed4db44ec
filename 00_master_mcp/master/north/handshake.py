"""Clients of the handshake revisions, over Streamable HTTP and over the old HTTP+SSE."""

import asyncio

from flotilla import RateLimited, meta
from master import rpc
from master.north.client import Teller
from master.north.exchange import SESSION, Exchange
from master.north.methods import Methods, ended
from master.north.reply import Reply
from master.north.sessions import Session, Sessions
from master.north.streams import pour
from master.views import prefix_of

CANCELLED = -32800


class Handshake:
    """Sessions, their requests and their streams."""

    def __init__(self, methods: Methods, sessions: Sessions) -> None:
        self._methods = methods
        self._sessions = sessions
        self._background: set[asyncio.Task[None]] = set()

    async def post(self, exchange: Exchange) -> None:
        """POST /mcp: `initialize` opens a session, everything else belongs to one."""
        request_id: rpc.Id | None = None
        try:
            exchange.check_accept()
            message = await exchange.message()
            request_id = message.id
            if message.method == "initialize" and request_id is not None:
                await self._open(message, request_id, exchange)
                return
            session = self._session(exchange)
            if message.method is None or request_id is None:
                self._note(session, message)
                await exchange.answer(202)
                return
            await self._answer(session, message, request_id, exchange)
        except rpc.RpcError as error:
            await exchange.refuse(error, request_id)

    async def stream(self, exchange: Exchange) -> None:
        """GET /mcp: what the hub tells by itself."""
        if SESSION not in exchange.headers:
            await exchange.answer(405, headers={"allow": "POST, DELETE"})
            return
        try:
            session = self._session(exchange)
            if session.has_stream:
                raise rpc.RpcError(rpc.INVALID_REQUEST, "the session has a stream", status=409)
        except rpc.RpcError as error:
            await exchange.refuse(error)
            return
        session.has_stream = True
        try:
            await pour(exchange, session.outbox)
        finally:
            session.has_stream = False

    async def delete(self, exchange: Exchange) -> None:
        """DELETE /mcp: the client ends its session."""
        try:
            self._sessions.end(self._session(exchange))
        except rpc.RpcError as error:
            await exchange.refuse(error)
            return
        await exchange.answer(200)

    async def sse(self, exchange: Exchange) -> None:
        """GET /sse: a session that lives as long as this stream."""
        try:
            session = self._sessions.open(exchange.principal, "", {})
        except RateLimited as error:
            await exchange.refuse(rpc.RpcError(rpc.INTERNAL_ERROR, error.message, status=503))
            return
        session.has_stream = True
        where = f"{prefix_of(exchange.view)}/messages/?session_id={session.id}"
        try:
            await pour(
                exchange, session.outbox, f"event: endpoint\r\ndata: {where}\r\n\r\n".encode()
            )
        finally:
            self._sessions.end(session)

    async def messages(self, exchange: Exchange) -> None:
        """POST /messages/: a message of an HTTP+SSE client, answered on its stream."""
        request_id: rpc.Id | None = None
        try:
            named = exchange.query.get("session_id", [""])[0]
            session = self._sessions.find(named, exchange.principal)
            if session is None:
                raise rpc.RpcError(rpc.INVALID_REQUEST, "there is no such session", status=404)
            message = await exchange.message()
            request_id = message.id
        except rpc.RpcError as error:
            await exchange.refuse(error, request_id)
            return
        await exchange.answer(202)
        if message.method is None or request_id is None:
            self._note(session, message)
            return
        task = asyncio.create_task(self._answer_on_stream(session, message, request_id, exchange))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def tools_changed(self) -> None:
        told = rpc.notification("notifications/tools/list_changed", {})
        for session in self._sessions:
            if session.has_stream and session.version:
                session.outbox.put(told)

    def stop(self) -> None:
        self._sessions.end_all()

    async def _open(self, message: rpc.Message, request_id: rpc.Id, exchange: Exchange) -> None:
        version, answer = self._methods.initialized(message.params)
        capabilities = meta.members(message.params.get("capabilities"))
        try:
            session = self._sessions.open(exchange.principal, version, capabilities)
        except RateLimited as error:
            raise rpc.RpcError(rpc.INTERNAL_ERROR, error.message, status=503) from None
        await exchange.answer(200, rpc.response(request_id, answer), {SESSION: session.id})

    def _session(self, exchange: Exchange) -> Session:
        given = exchange.headers.get(SESSION)
        if given is None:
            raise rpc.RpcError(rpc.INVALID_REQUEST, "Mcp-Session-Id is missing; initialize first")
        session = self._sessions.find(given, exchange.principal)
        if session is None:
            told = "there is no such session any more; initialize again"
            raise rpc.RpcError(rpc.INVALID_REQUEST, told, status=404)
        return session

    def _note(self, session: Session, message: rpc.Message) -> None:
        if message.method == "notifications/cancelled":
            named = message.params.get("requestId")
            task = session.running.get(named) if isinstance(named, (str, int)) else None
            if task is not None:
                task.cancel()

    async def _answer(
        self, session: Session, message: rpc.Message, request_id: rpc.Id, exchange: Exchange
    ) -> None:
        # A closed connection is no cancellation in these revisions: the work goes on.
        with Reply(exchange.send) as reply:
            await reply.end(*await self._worked(session, message, request_id, exchange, reply))

    async def _answer_on_stream(
        self, session: Session, message: rpc.Message, request_id: rpc.Id, exchange: Exchange
    ) -> None:
        if message.method == "initialize":
            try:
                session.version, result = self._methods.initialized(message.params)
            except rpc.RpcError as error:
                session.outbox.put(rpc.refusal(request_id, error))
                return
            session.capabilities = meta.members(message.params.get("capabilities"))
            session.outbox.put(rpc.response(request_id, result))
            return
        answer, _ = await self._worked(session, message, request_id, exchange, session.outbox)
        session.outbox.put(answer)

    async def _worked(
        self,
        session: Session,
        message: rpc.Message,
        request_id: rpc.Id,
        exchange: Exchange,
        teller: Teller,
    ) -> tuple[bytes, int]:
        """The answer of a request and its HTTP status; `notifications/cancelled` ends it early."""
        if request_id in session.running:
            twice = rpc.RpcError(rpc.INVALID_REQUEST, f"request {request_id!r} is still running")
            return rpc.refusal(request_id, twice), twice.status
        client = exchange.client(message, "handshake", session.capabilities, teller)
        with exchange.logged(client):
            work = asyncio.create_task(self._methods.handle(message, client))
        session.running[request_id] = work
        try:
            await asyncio.wait({work})
        finally:
            session.running.pop(request_id, None)
            if not work.done():
                work.cancel()
        if work.cancelled():
            error = rpc.RpcError(CANCELLED, "the request was cancelled", status=200)
            return rpc.refusal(request_id, error), 200
        # These revisions know errors as answers: 200 but for what HTTP itself refuses.
        return ended(work, request_id)[0], 200
