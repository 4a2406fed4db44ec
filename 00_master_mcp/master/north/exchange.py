"""One HTTP exchange with a client: what its headers say, its body, and plain answers."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from flotilla import Principal, correlation, meta
from flotilla.identity import Caller
from flotilla.logs import bound
from flotilla.serving.gates import CALLER, MAX_BODY_BYTES, whole_body
from flotilla.serving.headers import RequestHeaders, headers_of
from master import rpc
from master.catalogue import View
from master.north.client import Client, Teller
from master.north.sessions import Session
from master.upstream.wire import CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL
from master.views import VIEW

SESSION = "mcp-session-id"
VERSION = "mcp-protocol-version"
LAST_EVENT = "last-event-id"
_JSON, _STREAM = "application/json", "text/event-stream"


@dataclass(slots=True)
class Exchange:
    """A request of an authenticated client, with the view that its URL shows."""

    scope: Scope
    receive: Receive
    send: Send

    @property
    def header_lines(self) -> list[tuple[str, str]]:
        """Every header as it came; one that came twice stands here twice."""
        return headers_of(self.scope).lines

    @property
    def headers(self) -> RequestHeaders:
        return headers_of(self.scope)

    @property
    def caller(self) -> Caller:
        return self.scope[CALLER]

    @property
    def principal(self) -> Principal:
        return self.caller.principal

    @property
    def view(self) -> View:
        return self.scope[VIEW]

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.scope["query_string"].decode("latin-1"))

    async def message(self) -> rpc.Message:
        """The message of the body; RpcError when there is none that can be read."""
        if not self.headers.get("content-type", "").lower().startswith("application/json"):
            raise rpc.RpcError(
                rpc.INVALID_REQUEST, "Content-Type must be application/json", status=415
            )
        raw = await whole_body(self.receive)
        if raw is None:
            most = f"{MAX_BODY_BYTES // 2**20} MiB"
            raise rpc.RpcError(rpc.INVALID_REQUEST, f"the body has over {most}", status=413)
        return rpc.read(raw)

    def check_accept(self) -> None:
        """RpcError unless the client takes both JSON and server-sent events."""
        accepted = self.headers.get("accept", "*/*")
        for wanted in (_JSON, _STREAM):
            if wanted not in accepted and "*/*" not in accepted:
                raise rpc.RpcError(rpc.INVALID_REQUEST, f"Accept must name {wanted}", status=406)

    @property
    def prefers_stream(self) -> bool:
        """Whether the client names event streams before JSON."""
        accepted = self.headers.get("accept", "")
        return 0 <= accepted.find(_STREAM) < accepted.find(_JSON)

    def modern(self, message: rpc.Message, teller: Teller) -> Client:
        """The client of a request that stands alone, as its `_meta` describes it."""
        marks = message.meta
        level = marks.get(LOG_LEVEL)
        return self._client(
            message,
            teller,
            era="modern",
            capabilities=meta.members(marks.get(CLIENT_CAPABILITIES)),
            info=meta.members(marks.get(CLIENT_INFO)) or None,
            log_level=level if isinstance(level, str) else None,
        )

    def handshake(
        self,
        message: rpc.Message,
        teller: Teller,
        session: Session,
        gone: Callable[[], Awaitable[None]] | None = None,
    ) -> Client:
        """The client of a request on a session."""
        return self._client(
            message,
            teller,
            era="handshake",
            capabilities=session.capabilities,
            info=session.info,
            log_level=session.log_level,
            session=session,
            gone=gone,
        )

    def _client(self, message: rpc.Message, teller: Teller, **known: Any) -> Client:
        assigned: str = self.scope[correlation.SCOPE]
        correlation_id, trace = correlation.of_call(assigned, self.headers, message.meta)
        return Client(
            principal=self.principal,
            interactive=self.caller.interactive,
            subject=self.caller.subject,
            view=self.view,
            correlation_id=correlation_id,
            traceparent=trace,
            teller=teller,
            **known,
        )

    def logged(self, client: Client) -> AbstractContextManager[object]:
        """Log lines within stand under the ID of the client, where its `_meta` brought another."""
        if client.correlation_id == self.scope[correlation.SCOPE]:
            return nullcontext()
        return bound(correlation_id=client.correlation_id)

    async def gone(self) -> None:
        """Return once the client has closed the connection."""
        while (await self.receive())["type"] != "http.disconnect":
            continue

    async def refuse(self, error: rpc.RpcError, request_id: rpc.Id | None = None) -> None:
        await self.answer(error.status, rpc.refusal(request_id, error))

    async def answer(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        told = {"content-length": str(len(body)), **(headers or {})}
        if body:
            told["content-type"] = "application/json"
        encoded = [(name.encode(), value.encode()) for name, value in told.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": encoded})
        await self.send({"type": "http.response.body", "body": body})
