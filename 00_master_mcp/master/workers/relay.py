"""Passes an exchange on to the process of the hub whose it is, and its answer back as it comes."""

from collections.abc import Mapping
from contextlib import closing
from urllib.parse import parse_qs

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flotilla import FlotillaError, correlation, meta
from flotilla.serving.gates import MAX_BODY_BYTES, whole_body
from flotilla.serving.headers import headers_of
from master import rpc
from master.external.api import PATH as SERVERS
from master.north.exchange import SESSION, Exchange
from master.north.work import Work
from master.outbound.api import PATH as GRANTS
from master.upstream.transport.client import Response, Unreachable
from master.upstream.transport.target import Target
from master.workers.colleagues import HEADER, Colleagues
from master.workers.gathering import Gathering

log = structlog.get_logger(__name__)

_ONE_HOP = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "host", "keep-alive"}
    | {"proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", HEADER}
)
"""What is between two neighbours, and not between client and owner."""
_ANSWERED_ANEW = _ONE_HOP - {"content-length"} | {"date", "server"}
_MARK = meta.CORRELATION_ID.encode()


class Relay:
    """Around the routes: what another process must answer is passed on, once."""

    def __init__(self, colleagues: Colleagues) -> None:
        self._colleagues = colleagues
        self._gathering = Gathering(colleagues)

    def around(self, app: ASGIApp) -> ASGIApp:
        if self._colleagues.place.alone:
            return app
        siblings = self._colleagues.place.siblings

        async def gate(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
            elif scope["path"] in ("/metrics", "/ready") and siblings:
                await self._gathering.answer(app, scope, receive, send)
            elif (owner := self._owner(scope)) is None or self._colleagues.is_one(scope):
                await app(scope, receive, send)
            else:
                await self._passed(owner, Exchange(scope, receive, send))

        return gate

    def _owner(self, scope: Scope) -> str | None:
        """Whose exchange it is, by the tag; None where this process answers it."""
        session = headers_of(scope).get(SESSION)
        path: str = scope["path"]
        if session is None and path.endswith("/messages/"):
            query = parse_qs(scope["query_string"].decode("latin-1"))
            session = query.get("session_id", [""])[0]
        if session is not None:
            return self._colleagues.owner_of(session)
        place = self._colleagues.place
        if not place.is_lead and f"{path}/".startswith((f"{SERVERS}/", f"{GRANTS}/")):
            return self._colleagues.lead
        return None

    async def _passed(self, owner: str, exchange: Exchange) -> None:
        body = await whole_body(exchange.receive)
        if body is None:
            most = f"the body has over {MAX_BODY_BYTES // 2**20} MiB"
            await exchange.refuse(rpc.RpcError(rpc.INVALID_REQUEST, most, status=413))
            return
        address = await self._colleagues.address_of(owner)
        if address is None:
            await exchange.refuse(_gone())
            return
        # The owner hears that the client has gone as it would itself: the connection closes.
        with Work(exchange.gone):
            try:
                response = await self._asked(address, exchange.scope, body)
            except Unreachable:
                await exchange.refuse(_gone())
            except FlotillaError as error:
                log.warning("relay_failed", owner=owner, reason=error.message)
                await exchange.refuse(_broke_off())
            else:
                with closing(response):
                    await self._answered(response, exchange, owner)

    async def _asked(self, address: str, scope: Scope, body: bytes) -> Response:
        path = scope.get("raw_path") or scope["path"].encode()
        query = scope["query_string"]
        where = (path + b"?" + query if query else path).decode("latin-1")
        target = Target.of(f"{address}{where}", "the hub that has the session")
        headers = {**passed_on(scope, body), **self._colleagues.authority.of_hub()}
        client = self._colleagues.pool.client(target)
        return await client.request(scope["method"], target, headers, body)

    async def _answered(self, response: Response, exchange: Exchange, owner: str) -> None:
        send = exchange.send
        headers = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in response.headers.items()
            if name not in _ANSWERED_ANEW
        ]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        try:
            while chunk := await response.chunk():
                await send(_part(chunk, more=True))
        except FlotillaError as error:
            # The response stays visibly unfinished: the server closes the connection.
            log.warning("relay_broke_off", owner=owner, reason=error.message)
            return
        await send(_part(b"", more=False))


def passed_on(scope: Scope, body: bytes) -> Mapping[str, str]:
    """The headers of a request that go on; of one that came several times, all values in one."""
    headers: dict[str, str] = {}
    for name, value in headers_of(scope).lines:
        if name not in _ONE_HOP:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    # A request that brings an ID of its own in its body keeps that.
    if correlation.HEADER not in headers and _MARK not in body:
        headers[correlation.HEADER] = scope[correlation.SCOPE]
    return headers


def _part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def _gone() -> rpc.RpcError:
    told = "there is no such session any more; initialize again"
    return rpc.RpcError(rpc.INVALID_REQUEST, told, status=404)


def _broke_off() -> rpc.RpcError:
    told = "the process that has the session ended before it answered; look whether it took effect"
    return rpc.RpcError(rpc.INTERNAL_ERROR, told, status=502)
