"""One cluster's API: requests with deadlines, bounds and errors of ours.

cluster = await clusters.client(alias)
found = await cluster.request("GET", "/api/v1/nodes", due=context.deadline, query={"limit": 5})
ref = await cluster.resource("deployments.apps/v1", due=context.deadline)
await cluster.request("DELETE", ref.path("default", "web"), due=context.deadline)
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from flotilla.context import Deadline
from flotilla.errors import TimedOut, Unavailable
from flotilla.json_text import to_json
from flotilla.upstream import whole
from k8s.answers import parsed, refused
from k8s.kinds import Kinds, ResourceRef
from k8s.link import USER_AGENT, Link

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientWebSocketResponse

JSON = "application/json"
MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
CONNECT_S = 5.0
WS_CLOSE_S = 1.0
SPARE_S = 0.25
"""An answer of ours still has to travel back before nobody waits any more."""

Query = Mapping[str, str | int | bool | None]


class Cluster:
    """A cluster by its alias; `namespace` is the one that its context names."""

    def __init__(self, alias: str, link: Link, kinds: Kinds) -> None:
        self.alias = alias
        self.namespace = link.access.namespace
        self.server = link.access.server
        self._link = link
        self._kinds = kinds

    async def request(
        self,
        method: str,
        path: str,
        *,
        due: Deadline,
        query: Query | None = None,
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
        limit_bytes: int = MAX_ANSWER_BYTES,
    ) -> Any:
        """The parsed JSON of the answer. `body` is bytes as they are, or becomes JSON.

        Raises our errors for Status objects (see `answers`), TimedOut at `due`, Unavailable where
        nobody answers or the connection breaks, TooLarge beyond `limit_bytes`, UpstreamError for
        what is no JSON. Nothing is retried: whoever asks knows whether it may be.
        """
        async with self.answer(
            method,
            path,
            due=due,
            query=query,
            body=body,
            content_type=content_type,
            accept=accept,
        ) as answer:
            raw = await read(answer, limit_bytes)
        return parsed(raw, self.alias)

    @asynccontextmanager
    async def answer(
        self,
        method: str,
        path: str,
        *,
        due: Deadline,
        query: Query | None = None,
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> "AsyncGenerator[ClientResponse]":
        """The answer before it is read (of a watch, of a log); leaving closes the request.

        All that is done with it happens within `due`. Raises as `request` does.
        """
        from aiohttp import ClientError, ClientTimeout

        raw = body if body is None or isinstance(body, bytes) else to_json(body)
        headers = {"Accept": accept, **({} if raw is None else {"Content-Type": content_type})}
        left_s = due.remaining_s()
        with self._link as link:
            try:
                async with asyncio.timeout(left_s - min(SPARE_S, left_s / 10)):
                    headers |= await self._signed(due)
                    async with link.session.request(
                        method,
                        self.url(path, query),
                        data=raw,
                        headers=headers,
                        proxy=link.proxy,
                        # A redirect would take the request, and the token, where we were not sent.
                        allow_redirects=False,
                        server_hostname=link.access.tls_server_name or None,
                        timeout=ClientTimeout(total=None, sock_connect=CONNECT_S),
                    ) as answer:
                        if not 200 <= answer.status < 300:
                            await self._refuse(answer)
                        yield answer
            except TimeoutError:
                raise self._late() from None
            except ClientError as error:
                raise self._gone(error) from None

    @asynccontextmanager
    async def websocket(
        self, path: str, *, due: Deadline, query: Query | str | None, protocols: tuple[str, ...]
    ) -> "AsyncGenerator[ClientWebSocketResponse]":
        """An open WebSocket (of exec), closed on leaving. Raises as `request` does.

        `query` may be text, since `command` stands in it more than once.
        """
        from aiohttp import ClientError, ClientWSTimeout, WSServerHandshakeError

        left_s = due.remaining_s()
        with self._link as link:
            try:
                async with asyncio.timeout(left_s - min(SPARE_S, left_s / 10)):
                    async with link.session.ws_connect(
                        self.url(path, query),
                        protocols=protocols,
                        headers=await self._signed(due),
                        proxy=link.proxy,
                        server_hostname=link.access.tls_server_name or None,
                        timeout=ClientWSTimeout(ws_close=WS_CLOSE_S),  # pyright: ignore[reportCallIssue] - attrs
                        max_msg_size=MAX_ANSWER_BYTES,
                    ) as socket:
                        yield socket
            except TimeoutError:
                raise self._late() from None
            except WSServerHandshakeError as error:
                if error.status == 401:
                    self._stale()
                after = None if error.headers is None else error.headers.get("Retry-After")
                raise refused(
                    self.alias, error.status, b"", retry_after=after, audit_id=None
                ) from None
            except ClientError as error:
                raise self._gone(error) from None

    async def resource(self, kind: str, *, due: Deadline) -> ResourceRef:
        """The kind that a caller means: `pods`, `Pod`, `deploy`, `deployments.apps`,
        `deployments.apps/v1`, `certificates.cert-manager.io`.

        Raises NotFound with what comes near, InvalidArgument for what is no name of a kind.
        """
        return await self._kinds.named(self, kind, due)

    async def resource_of(self, api_version: str, kind: str, *, due: Deadline) -> ResourceRef:
        """The kind of a manifest: `("apps/v1", "Deployment")`. Raises NotFound."""
        return await self._kinds.of_manifest(self, api_version, kind, due)

    async def resources(self, *, due: Deadline) -> tuple[ResourceRef, ...]:
        """All kinds that the server has, in its order."""
        return await self._kinds.all(self, due)

    def url(self, path: str, query: Query | str | None = None) -> Any:
        from yarl import URL

        base = self._link.access.server.rstrip("/")
        if isinstance(query, str):
            text = query
        else:
            told = {
                key: ("true" if value else "false") if isinstance(value, bool) else str(value)
                for key, value in (query or {}).items()
                if value is not None
            }
            text = urlencode(told)
        # Encoded already: a name with an escaped character must stay one segment.
        return URL(f"{base}{path}?{text}" if text else f"{base}{path}", encoded=True)

    async def _signed(self, due: Deadline) -> dict[str, str]:
        access = self._link.access
        headers = {"User-Agent": USER_AGENT, **access.impersonate}
        if access.tokens is not None:
            headers["Authorization"] = f"Bearer {await access.tokens.token(due)}"
        return headers

    async def _refuse(self, answer: "ClientResponse") -> None:
        if answer.status == 401:
            self._stale()
        raw = await answer.content.read(MAX_ERROR_BYTES)
        while len(raw) < MAX_ERROR_BYTES and (more := await answer.content.read(MAX_ERROR_BYTES)):
            raw += more
        raise refused(
            self.alias,
            answer.status,
            raw,
            retry_after=answer.headers.get("Retry-After"),
            audit_id=answer.headers.get("Audit-Id"),
        )

    def _stale(self) -> None:
        if self._link.access.tokens is not None:
            self._link.access.tokens.stale()

    def _late(self) -> TimedOut:
        return TimedOut(
            f"cluster {self.alias} did not answer in time",
            hint="Ask for less, or look at the API server.",
            details={"cluster": self.alias},
        )

    def _gone(self, error: Exception) -> Unavailable:
        # Only the kind of the error: its words may have the address with a proxy's password.
        return Unavailable(
            f"cluster {self.alias}: {_told(error)}",
            hint="Look whether its API server runs and can be reached from here.",
            details={"cluster": self.alias, "reason": type(error).__name__},
        )


async def read(answer: "ClientResponse", limit_bytes: int) -> bytes:
    """The whole body. Raises TooLarge beyond `limit_bytes`."""
    return await whole(
        answer.content.iter_any(),
        limit_bytes,
        f"the cluster's answer has more than {limit_bytes} bytes",
        hint="Ask for fewer items, one namespace or a selector.",
    )


def _told(error: Exception) -> str:
    from aiohttp import (
        ClientConnectorCertificateError,
        ClientConnectorError,
        ClientPayloadError,
        ServerDisconnectedError,
    )

    if isinstance(error, ClientConnectorCertificateError):
        return "its certificate is not vouched for by the authority that is set up"
    if isinstance(error, ClientConnectorError):
        return "its API server cannot be reached"
    if isinstance(error, (ClientPayloadError, ServerDisconnectedError)):
        return "the connection broke off before the answer was whole"
    return "the connection failed"
