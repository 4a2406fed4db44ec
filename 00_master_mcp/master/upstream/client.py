"""Sends requests to one service over the hub's connection pool."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from flotilla import Deadline, Principal, TimedOut, Unavailable, UpstreamError, correlation
from flotilla.identity import Signer
from master.upstream import wire

CONNECT_S = 2.0
"""A service that does not accept within this is away."""
POOL_KEEP_ALIVE_S = 30.0
"""Shorter than the services', so that a pooled connection is never one that they just closed."""
LAST_WORD_S = 0.25
"""What the hub waits beyond a deadline: the service's own `timeout` says more."""

HUB = Principal("hub", ("hub",))
"""As whom the hub asks for lists and health."""


class ConnectionPool:
    """The hub's one pool of connections, open inside `running`.

    Limits on calls in flight are not its business.
    """

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        assert self._session is not None, "the pool is used inside `running` alone"
        return self._session

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=POOL_KEEP_ALIVE_S)
        cookies = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(connector=connector, cookie_jar=cookies) as session:
            self._session = session
            yield


class ServiceClient:
    """MCP requests to one service, each signed for the principal in whose name it goes."""

    def __init__(self, service: str, url: str, signer: Signer, pool: ConnectionPool) -> None:
        self.service = service
        self.url = url
        self._signer = signer
        self._pool = pool

    async def ask(
        self, method: str, params: Mapping[str, Any], *, timeout_s: float
    ) -> Mapping[str, Any]:
        """One request in the hub's own name; the errors are those of `messages`."""
        body, headers = wire.request(method, params, {})
        headers["authorization"] = self.hub_authorization()
        async with self.messages(body, headers, Deadline.after(timeout_s)) as replies:
            async for reply in replies:
                if reply.is_response:
                    return reply.result()
        raise self.broke_off()

    def hub_authorization(self) -> str:
        """The value of the Authorization header of the hub's own requests."""
        return f"Bearer {self._signer.token(self.service, HUB)}"

    def sign_call(self, principal: Principal, tool: str, body: bytes, *, approved: bool) -> str:
        """The value of the Authorization header of a call."""
        if approved:
            token = self._signer.token_for_call(self.service, principal, tool=tool, body=body)
        else:
            token = self._signer.token(self.service, principal)
        return f"Bearer {token}"

    @asynccontextmanager
    async def messages(
        self,
        body: bytes,
        headers: Mapping[str, str],
        deadline: Deadline | None,
        silence_s: float | None = None,
    ) -> AsyncGenerator[AsyncIterator[wire.Received]]:
        """The JSON-RPC messages that answer a POST, as they come; leaving closes the stream.

        Raises Unavailable when the service cannot be reached or goes away, TimedOut when the
        deadline passes (None waits for ever) or nothing comes for `silence_s`, UpstreamError when
        it answers nonsense.
        """
        total = None if deadline is None else deadline.remaining_s() + LAST_WORD_S
        limits = aiohttp.ClientTimeout(total=total, sock_connect=CONNECT_S, sock_read=silence_s)
        try:
            async with self._pool.session.post(
                f"{self.url}/mcp",
                data=body,
                headers=headers,
                timeout=limits,
                # A redirect would take the signed token to somebody else.
                allow_redirects=False,
            ) as response:
                yield self._read(response)
        except aiohttp.ConnectionTimeoutError:
            raise self._away() from None
        except TimeoutError:
            raise TimedOut(f"{self.service} did not answer before the deadline") from None
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError):
            raise self._away() from None
        except aiohttp.ClientError as error:
            raise UpstreamError(f"{self.service} broke HTTP: {type(error).__name__}") from None

    async def readiness(self, timeout_s: float) -> str | None:
        """Why the service cannot serve just now, None when it can; Unavailable when it is away."""
        try:
            async with self._pool.session.get(
                f"{self.url}/ready",
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
            ) as response:
                body = wire.received(await response.content.read(64 * 1024)).values
                if response.status == 200:
                    return None
                return str(body.get("reason", f"/ready answered {response.status}"))[:500]
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            raise self._away() from None

    async def _read(self, response: aiohttp.ClientResponse) -> AsyncIterator[wire.Received]:
        if response.status in (401, 403, 421):
            raise UpstreamError(
                f"{self.service} refused the hub's token (HTTP {response.status})",
                hint="Its public key of the hub may be an old one, or its clock may be wrong.",
            )
        if response.status == 503:
            raise self._away()
        if 300 <= response.status < 400:
            raise UpstreamError(f"{self.service} answered with a redirect, which is not followed")
        if response.content_type == "text/event-stream":
            events = wire.EventReader()
            async for chunk in response.content.iter_any():
                for data in events.feed(chunk):
                    yield wire.received(data)
        else:
            yield wire.received(await response.read())

    def _away(self) -> Unavailable:
        return Unavailable(
            f"{self.service} cannot be reached", hint="It is being reconnected; call again soon."
        )

    def broke_off(self) -> Unavailable:
        return Unavailable(
            f"{self.service} went away before it answered",
            hint="Whether the call took effect is not known; look before calling again.",
        )


def call_headers(headers: dict[str, str], correlation_id: str, trace: str | None) -> None:
    """Add what lets a service log under the same ID and trace."""
    headers[correlation.HEADER] = correlation_id
    if trace is not None:
        headers["traceparent"] = trace
