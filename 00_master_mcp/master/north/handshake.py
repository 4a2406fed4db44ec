"""Clients of the handshake revisions, over Streamable HTTP and over the old HTTP+SSE."""

import asyncio
from collections.abc import Collection, Iterator

from flotilla import RateLimited
from master import rpc
from master.catalogue import Catalogue
from master.north.client import Client
from master.north.exchange import LAST_EVENT, SESSION, Exchange
from master.north.hearing import at_least
from master.north.methods import Methods, answered
from master.north.reply import Reply, event
from master.north.sessions import Session, Sessions
from master.north.streams import pour, pour_events
from master.north.work import Work
from master.offer import Kind
from master.views import prefix_of


class Handshake:
    """Sessions, their requests and their streams."""

    def __init__(self, methods: Methods, sessions: Sessions, catalogue: Catalogue) -> None:
        self._methods = methods
        self._catalogue = catalogue
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
            if (last := exchange.headers.get(LAST_EVENT)) is not None:
                await self._resume(session, last, exchange)
                return
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
            session = self._sessions.open(exchange.principal, exchange.view)
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

    def changed(self, service: str, kinds: Collection[Kind]) -> None:
        """Tell every client that sees a service that these lists of it are others now."""
        for session in self._listening(service):
            for what in self._catalogue.touched(session.view, service, kinds):
                session.outbox.put(rpc.notification(f"notifications/{what}/list_changed", {}))

    def said(self, service: str, method: str, params: rpc.Texts) -> None:
        """Pass on what a server says to nobody in particular."""
        message, level = rpc.notice(method, params), params.get("level", "").strip('"')
        for session in self._listening(service):
            if not self._methods.may_hear_of(service, session.principal):
                continue
            is_log = method == "notifications/message"
            if not is_log or (session.log_level and at_least(level, session.log_level)):
                session.outbox.put(message)

    def stop(self) -> None:
        self._sessions.end_all()

    async def _open(self, message: rpc.Message, request_id: rpc.Id, exchange: Exchange) -> None:
        version, answer = self._methods.initialized(message, exchange.view)
        try:
            session = self._sessions.open(exchange.principal, exchange.view)
        except RateLimited as error:
            raise rpc.RpcError(rpc.INTERNAL_ERROR, error.message, status=503) from None
        session.opened(version, message.params)
        await exchange.answer(200, rpc.response(request_id, answer), {SESSION: session.id})

    async def _resume(self, session: Session, last: str, exchange: Exchange) -> None:
        """Send what a stream said after an event, and what it still says."""
        found = session.tracks.find(last)
        if found is None:
            why = "there is nothing after that event any more; send the request again"
            raise rpc.RpcError(rpc.INVALID_REQUEST, why)
        track, number = found
        events = (event(message, name) async for name, message in track.after(number))
        await pour_events(exchange, events)

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
            work = session.running.get(named) if isinstance(named, (str, int)) else None
            if work is not None:
                work.stop()
        elif message.is_response:
            session.answered(message)

    def _listening(self, service: str) -> Iterator[Session]:
        """The sessions that see a service and are listening."""
        return (
            session
            for session in self._sessions
            if session.has_stream
            and session.version
            and self._catalogue.sees(session.view, service)
        )

    async def _answer(
        self, session: Session, message: rpc.Message, request_id: rpc.Id, exchange: Exchange
    ) -> None:
        # A closed connection is no cancellation in these revisions: the work goes on.
        tracks = session.tracks if session.resumes else None
        with Reply(exchange.send, tracks, stream=exchange.prefers_stream) as reply:

            async def gone() -> None:
                await exchange.gone()
                if reply.track is not None:
                    await reply.track.abandoned()

            client = exchange.handshake(message, reply, session, gone)
            answer = await self._worked(session, message, request_id, exchange, client)
            await reply.finish(*answer)

    async def _answer_on_stream(
        self, session: Session, message: rpc.Message, request_id: rpc.Id, exchange: Exchange
    ) -> None:
        if message.method == "initialize":
            try:
                version, result = self._methods.initialized(message, exchange.view)
            except rpc.RpcError as error:
                session.outbox.put(rpc.refusal(request_id, error))
                return
            session.opened(version, message.params)
            session.outbox.put(rpc.response(request_id, result))
            return
        client = exchange.handshake(message, session.outbox, session)
        answer, _ = await self._worked(session, message, request_id, exchange, client)
        if answer is not None:
            session.outbox.put(answer)

    async def _worked(
        self,
        session: Session,
        message: rpc.Message,
        request_id: rpc.Id,
        exchange: Exchange,
        client: Client,
    ) -> tuple[bytes | None, int]:
        """The answer of a request and its HTTP status; `notifications/cancelled` ends it early."""
        if request_id in session.running:
            twice = rpc.RpcError(rpc.INVALID_REQUEST, f"request {request_id!r} is still running")
            return rpc.refusal(request_id, twice), twice.status
        work = session.running[request_id] = Work()
        try:
            with exchange.logged(client), work:
                answer, _ = await answered(self._methods.handle(message, client), request_id)
                # These revisions know errors as answers: 200 but for what HTTP itself refuses.
                return answer, 200
        finally:
            session.running.pop(request_id, None)
        error = rpc.RpcError(rpc.CANCELLED, "the request was cancelled", status=200)
        return rpc.refusal(request_id, error), 200
