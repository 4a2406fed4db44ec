"""An API with an OpenAPI document as one more server of the hub's: its operations are tools."""

import asyncio
from collections.abc import Callable
from hashlib import sha256

import aiohttp
import structlog

from flotilla import FlotillaError
from master import rpc
from master.call import TOOLS_CALL, Call
from master.external.handles import Resolved
from master.external.openapi import Choice, OpenApiServer, load
from master.external.openapi.document import members, text_of
from master.external.openapi.source import Source, source_of
from master.offer import Offer
from master.result import Result, of_json
from master.upstream import wire
from master.upstream.link import Told
from master.upstream.transport.client import Unreachable

log = structlog.get_logger(__name__)

_MAX_TOLD = 20

OpenSession = Callable[[], aiohttp.ClientSession]


def new_session() -> aiohttp.ClientSession:
    """One without cookies, which would pass between callers; its limits are each request's own."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
    )


class OpenApiSpeaker:
    """One API. Calls go on with the last document that could be used, whatever comes after it."""

    def __init__(
        self,
        service: str,
        resolved: Resolved,
        *,
        open_session: OpenSession = new_session,
        every_s: float | None = None,
    ) -> None:
        """`every_s` is how often the document is looked at; by default as its place suggests."""
        self._service = service
        self._resolved = resolved
        self._open_session = open_session
        self._every_s = every_s
        self._redactor = resolved.redactor()
        self._server: OpenApiServer | None = None
        self._refused: tuple[bytes, FlotillaError] | None = None
        """What the last document was that could not be used, and why."""

    async def hold(self, told: Told) -> None:
        """Load the document, offer its tools, and offer anew whenever it has changed.

        Raises FlotillaError where there is no document to begin with, or nothing to be made of it.
        """
        given = self._resolved
        async with self._open_session() as session:
            source = source_of(given.document or "", given.url, session, given.headers)
            try:
                await self._read(source, session, told)
                while True:
                    await asyncio.sleep(self._every_s or source.every_s)
                    try:
                        await self._read(source, session, told)
                    except FlotillaError as error:
                        log.warning(
                            "openapi_not_renewed", upstream=self._service, reason=error.message
                        )
            finally:
                self._server = None

    async def send(self, call: Call) -> Result:
        if call.method != TOOLS_CALL:
            said = f"{self._service} is an API: it has tools and nothing else"
            raise rpc.RpcError(rpc.METHOD_NOT_FOUND, said)
        result = await self._now().call(
            call.resolved().upstream_name,
            call.arguments,
            timeout_s=call.due().remaining_s(),
            headers={**self._resolved.headers, **wire.call_headers(call)},
        )
        # The server knows its credentials; what else was given in confidence is known here.
        return of_json(self._redactor.data(result) if self._resolved.secrets else result)

    async def probe(self, timeout_s: float) -> str | None:
        """Whether the document is loaded; the API is not called, since any call may cost."""
        del timeout_s
        self._now()
        return None

    def watch(self, uris: frozenset[str]) -> None:
        """An API has no resources."""

    async def watched(self) -> None:
        """There is nothing to wait for."""

    async def log_level(self, level: str) -> None:
        """An API logs nothing here."""

    async def _read(self, source: Source, session: aiohttp.ClientSession, told: Told) -> None:
        raw = await source.changed()
        if raw is None:
            return
        digest = sha256(raw).digest()
        if self._refused is not None and self._refused[0] == digest:
            # Whoever connects again asks for it anew, and a large one takes seconds to read.
            raise self._refused[1]
        try:
            server, offer = await asyncio.to_thread(self._made, raw, source.address, session)
        except FlotillaError as error:
            self._refused = digest, error
            raise
        self._server = server
        for each in server.left_out[:_MAX_TOLD]:
            log.info(
                "operation_left_out",
                upstream=self._service,
                operation=each.operation,
                reason=each.reason,
            )
        told.offered(offer)

    def _made(
        self, raw: bytes, address: str | None, session: aiohttp.ClientSession
    ) -> tuple[OpenApiServer, Offer]:
        given, entry = self._resolved, self._resolved.entry
        document = load(raw)
        server = OpenApiServer(
            document,
            session=session,
            url=given.url,
            source=address,
            choice=Choice.of(entry.include, entry.exclude),
            credentials=given.credentials,
            token_urls=given.token_urls,
            server_variables=given.server_variables,
            output_schemas=entry.output_schemas,
        )
        version = text_of(members(document.root.get("info")).get("version"))
        offer = Offer(
            {"tools": tuple(server.tools())},
            {"tools": {"listChanged": True}},
            instructions=None,
            version=version[:100] or None,
        )
        return server, offer

    def _now(self) -> OpenApiServer:
        if self._server is None:
            raise Unreachable(
                f"the document of {self._service} is not loaded",
                hint="It is being read; call again soon.",
            )
        return self._server
