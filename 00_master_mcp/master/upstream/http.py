"""Sends messages to a server over the hub's pool; a status that is no answer becomes an error."""

from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from time import monotonic

from flotilla import Deadline, FlotillaError, Unavailable, UpstreamError
from master import rpc
from master.upstream import wire
from master.upstream.incoming import Scrub
from master.upstream.pool import ConnectionPool
from master.upstream.transport.client import (
    Response,
    Unreachable,
    WentAway,
    unreachable,
    went_away,
)
from master.upstream.transport.target import Target

MAX_REFUSAL_BYTES = 64 * 1024
MAX_RETRY_AFTER_S = 3600.0


class Refused(UpstreamError):
    """An HTTP status that is no answer to the message; `status` says which.

    `retry_after_s` is how long the server wants to be left alone, where it has said so.
    """

    def __init__(
        self,
        message: str,
        status: int,
        hint: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retry_after_s = retry_after_s


class OutOfService(Unavailable):
    """Somebody there says that the server is away (HTTP 502, 503, 504); else as `Refused`."""

    def __init__(self, message: str, status: int, retry_after_s: float | None = None) -> None:
        super().__init__(message, hint="It is being reconnected; call again soon.")
        self.status = status
        self.retry_after_s = retry_after_s


class Http:
    """Requests to one server. The errors are those of `request`."""

    def __init__(
        self, service: str, url: str, pool: ConnectionPool, scrub: Scrub | None = None
    ) -> None:
        """`scrub` takes out of what the server says what was given to it in confidence."""
        self.service = service
        self.scrub = scrub
        self.url = url
        self._pool = pool

    @cached_property
    def target(self) -> Target:
        """Raises BadAddress; not before it is used, so that one wrong URL stops no other server."""
        return Target.of(self.url, self.service)

    async def request(
        self,
        body: bytes,
        headers: Mapping[str, str],
        deadline: Deadline | None,
        silence_s: float | None = None,
        method: str = "POST",
    ) -> Response:
        """Send one request; whoever gets its response closes it.

        Raises Unavailable when the server cannot be reached or goes away, TimedOut when the
        deadline passes (None waits for ever) or nothing comes for `silence_s`, Refused or
        rpc.RpcError for a status that says so, UpstreamError when it breaks HTTP. Reading the
        response raises the same.
        """
        due_at = None if deadline is None else deadline.at + wire.LAST_WORD_S
        target = self.target
        client = self._pool.client(target)
        response = await client.request(method, target, headers, body, due_at, silence_s)
        if response.status >= 300:
            with closing(response):
                await self._refused(response)
        return response

    async def get(self, path: str, timeout_s: float) -> tuple[int, bytes]:
        """Status and first 64 KiB of a plain GET beside the MCP endpoint."""
        target = Target.of(self.url.removesuffix("/mcp") + path, self.service)
        client = self._pool.client(target)
        try:
            due_at = monotonic() + timeout_s
            with closing(await client.request("GET", target, {}, due_at=due_at)) as response:
                return response.status, (await response.begin(MAX_REFUSAL_BYTES))[
                    :MAX_REFUSAL_BYTES
                ]
        except FlotillaError:
            raise self.away() from None

    def drop_idle(self) -> None:
        """Close the connections that are kept for the next request: they may be dead."""
        self._pool.client(self.target).drop_idle(self.target)

    async def knock(self, headers: Mapping[str, str], timeout_s: float) -> None:
        """Return when anybody there answers by HTTP, on a new connection; raises as `request`."""
        self.drop_idle()
        body, own = wire.request("server/discover", {}, {})
        headers = {**own, **headers}
        try:
            response = await self.request(body, headers, Deadline.after(timeout_s))
        except (Refused, rpc.RpcError):
            return
        response.close()

    def away(self) -> Unreachable:
        return unreachable(self.service)

    def broke_off(self) -> WentAway:
        return went_away(self.service)

    async def _refused(self, response: Response) -> None:
        """Raise what a status of 300 or more means; an error response of MCP is none of ours."""
        status = response.status
        if 300 <= status < 400:
            raise Refused(f"{self.service} answered with a redirect, which is not followed", status)
        if response.content_type == "application/json":
            raw = await response.begin(MAX_REFUSAL_BYTES)
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
        after_s = retry_after_s(response.headers.get("retry-after"), datetime.now(UTC))
        if status in (502, 503, 504):
            said = f"{self.service} is out of service (HTTP {status})"
            raise OutOfService(said, status, after_s)
        said = f"{self.service} answered with HTTP {status}"
        raise Refused(said, status, retry_after_s=after_s)


def retry_after_s(told: str | None, now: datetime) -> float | None:
    """The seconds that a `retry-after` header asks for, at most an hour; None: it asks for none.

    It is a number of seconds or a date (RFC 9110, 10.2.3).
    """
    if told is None:
        return None
    if told.isascii() and told.isdigit():
        return min(float(told), MAX_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(told)
        left_s = (at - now).total_seconds()
    except (ValueError, TypeError):  # no date, or one without a zone
        return None
    return min(max(0.0, left_s), MAX_RETRY_AFTER_S)
