"""POSTs messages to a server over the hub's pool, and reads what answers them as it comes."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

from flotilla import Deadline, FlotillaError, TimedOut, Unavailable, UpstreamError
from master import rpc
from master.upstream import wire
from master.upstream.incoming import Incoming, Scrub, messages_of
from master.upstream.pool import ConnectionPool

CONNECT_S = 2.0
"""A server that does not accept within this is away."""
LAST_WORD_S = 0.25
"""What the hub waits beyond a deadline: the server's own `timeout` says more."""
MAX_REFUSAL_BYTES = 64 * 1024


class Refused(UpstreamError):
    """An HTTP status that is no answer to the message; `status` says which."""

    def __init__(self, message: str, status: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class Http:
    """Requests to one server. The errors are those of `exchange`."""

    def __init__(
        self, service: str, url: str, pool: ConnectionPool, scrub: Scrub | None = None
    ) -> None:
        """`scrub` takes out of what the server says what was given to it in confidence."""
        self.service = service
        self.scrub = scrub
        self.url = url
        self._pool = pool

    @asynccontextmanager
    async def exchange(
        self,
        body: bytes,
        headers: Mapping[str, str],
        deadline: Deadline | None,
        silence_s: float | None = None,
        method: str = "POST",
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """One request and its response, read within; leaving closes it.

        Raises Unavailable when the server cannot be reached or goes away, TimedOut when the
        deadline passes (None waits for ever) or nothing comes for `silence_s`, Refused for a
        status that says so, UpstreamError when it breaks HTTP.
        """
        total = None if deadline is None else deadline.remaining_s() + LAST_WORD_S
        limits = aiohttp.ClientTimeout(total=total, sock_connect=CONNECT_S, sock_read=silence_s)
        try:
            async with self._pool.session.request(
                method,
                self.url,
                data=body or None,
                headers=headers,
                timeout=limits,
                # A redirect would take the token to somebody else.
                allow_redirects=False,
            ) as response:
                if response.status >= 300:
                    await self._refused(response)
                yield response
        except aiohttp.ConnectionTimeoutError:
            raise self.away() from None
        except TimeoutError:
            raise TimedOut(f"{self.service} did not answer before the deadline") from None
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError):
            raise self.away() from None
        except aiohttp.ClientError as error:
            raise UpstreamError(f"{self.service} broke HTTP: {type(error).__name__}") from None

    @asynccontextmanager
    async def messages(
        self,
        body: bytes,
        headers: Mapping[str, str],
        deadline: Deadline | None,
        silence_s: float | None = None,
    ) -> AsyncGenerator[AsyncIterator[Incoming]]:
        """The messages that answer a POST, as they come."""
        async with self.exchange(body, headers, deadline, silence_s) as response:
            yield messages_of(response, self.scrub)

    async def get(self, path: str, timeout_s: float) -> tuple[int, bytes]:
        """Status and first 64 KiB of a plain GET beside the MCP endpoint."""
        limits = aiohttp.ClientTimeout(total=timeout_s)
        url = self.url.removesuffix("/mcp") + path
        try:
            async with self._pool.session.get(
                url, timeout=limits, allow_redirects=False
            ) as response:
                return response.status, await response.content.read(MAX_REFUSAL_BYTES)
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            raise self.away() from None

    def away(self) -> Unavailable:
        return Unavailable(
            f"{self.service} cannot be reached", hint="It is being reconnected; call again soon."
        )

    def broke_off(self) -> Unavailable:
        return Unavailable(
            f"{self.service} went away before it answered",
            hint="Whether the call took effect is not known; look before calling again.",
        )

    async def _refused(self, response: aiohttp.ClientResponse) -> None:
        """Raise what a status of 300 or more means; an error response of MCP is none of ours."""
        status = response.status
        if 300 <= status < 400:
            raise Refused(f"{self.service} answered with a redirect, which is not followed", status)
        if response.content_type == "application/json":
            raw = await response.content.read(MAX_REFUSAL_BYTES)
            try:
                wire.received(raw).result()
            except rpc.RpcError as error:
                error.status = status
                raise
            except FlotillaError:
                pass  # no MCP error in it: the status alone speaks
        if status in (401, 403, 421):
            raise Refused(
                f"{self.service} refused the hub's credentials (HTTP {status})",
                status,
                "Its public key of the hub may be an old one, its clock wrong, or its entry in "
                "mcp.json may lack a header.",
            )
        if status in (502, 503, 504):
            raise self.away()
        raise Refused(f"{self.service} answered with HTTP {status}", status)
