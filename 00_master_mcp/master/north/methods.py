"""What the hub answers to each method, whatever the era and transport."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any

import structlog

from flotilla import FlotillaError, __version__
from flotilla.redaction import Redactor
from flotilla.serving.draining import Drain
from flotilla.toolbox import error_result
from master import rpc
from master.call import Call, Stage
from master.catalogue import Catalogue
from master.north.client import Client
from master.result import of_json, rendered

log = structlog.get_logger(__name__)

MODERN_VERSIONS = ("2026-07-28",)
HANDSHAKE_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
LIST_TTL_MS = 30_000
"""How long a modern client may keep a list without asking; changes are told at once anyway."""

SERVER_INFO = {"name": "flotilla", "title": "Flotilla", "version": __version__}
CAPABILITIES = {"tools": {"listChanged": True}}
_SERVER_INFO_KEY = "io.modelcontextprotocol/serverInfo"

Answer = Callable[[rpc.Message, Client], Awaitable[str]]
"""Answers a request with the JSON text of its result, or raises RpcError."""


class Methods:
    """The table of methods. `instructions` is what a client's model reads first."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        answer: Stage,
        drain: Drain,
        redactor: Redactor,
        instructions: str,
    ) -> None:
        self._catalogue = catalogue
        self._answer = answer
        self._drain = drain
        self._redactor = redactor
        self._instructions = instructions
        self._table: dict[str, Answer] = {
            "ping": self._ping,
            "server/discover": self._discover,
            "tools/list": self._list_tools,
            "tools/call": self._call_tool,
        }

    async def handle(self, message: rpc.Message, client: Client) -> str:
        """The JSON text of the result of a request; RpcError where there is none."""
        method = self._table.get(message.method or "")
        if method is None:
            raise _no_method(message.method)
        return await method(message, client)

    def initialized(self, params: Mapping[str, Any]) -> tuple[str, str]:
        """The revision agreed on in a handshake, and the JSON text of the answer to it."""
        asked = params.get("protocolVersion")
        if not isinstance(asked, str):
            raise rpc.RpcError(rpc.INVALID_PARAMS, "params.protocolVersion must be a revision")
        version = asked if asked in HANDSHAKE_VERSIONS else HANDSHAKE_VERSIONS[0]
        return version, rpc.text_of(
            {
                "protocolVersion": version,
                "capabilities": CAPABILITIES,
                "serverInfo": SERVER_INFO,
                "instructions": self._instructions,
            }
        )

    async def _ping(self, message: rpc.Message, client: Client) -> str:
        if client.era == "modern":
            # That revision has no ping.
            raise _no_method(message.method)
        return "{}"

    async def _discover(self, message: rpc.Message, client: Client) -> str:
        if client.era == "handshake":
            # A client that probes on a session or over HTTP+SSE shall shake hands there.
            raise _no_method(message.method)
        return _complete(
            {
                "supportedVersions": list(MODERN_VERSIONS),
                "capabilities": CAPABILITIES,
                "instructions": self._instructions,
                "ttlMs": LIST_TTL_MS,
                "cacheScope": "private",
            }
        )

    async def _list_tools(self, message: rpc.Message, client: Client) -> str:
        if message.params.get("cursor") is not None:
            raise rpc.RpcError(rpc.INVALID_PARAMS, "the list has one page; leave cursor out")
        listed = {"tools": self._catalogue.listing(client.view)}
        if client.era == "handshake":
            return rpc.text_of(listed)
        return _complete({**listed, "ttlMs": LIST_TTL_MS, "cacheScope": "private"})

    async def _call_tool(self, message: rpc.Message, client: Client) -> str:
        name, arguments = message.params.get("name"), message.params.get("arguments")
        if not isinstance(name, str):
            raise rpc.RpcError(rpc.INVALID_PARAMS, "params.name must be the name of a tool")
        if arguments is not None and not isinstance(arguments, dict):
            raise rpc.RpcError(rpc.INVALID_PARAMS, "params.arguments must be an object")
        try:
            with self._drain.call():
                result = await self._answer(_call(message, client, name))
        except FlotillaError as error:
            result = of_json(error_result(error, client.correlation_id, self._redactor))
        return rendered(result, modern=client.era == "modern")


def _call(message: rpc.Message, client: Client, name: str) -> Call:
    token = message.meta.get("progressToken")

    async def report(progress: float, total: float | None, said: str | None) -> None:
        if not isinstance(token, (str, int)):
            return
        more = {"total": total, "message": said}
        params = {
            "progressToken": token,
            "progress": progress,
            **{key: value for key, value in more.items() if value is not None},
        }
        await client.teller.tell(rpc.notification("notifications/progress", params))

    return Call(
        principal=client.principal,
        name=name,
        arguments=message.params.get("arguments") or {},
        arguments_text=message.texts.get("arguments", "{}"),
        meta=message.meta,
        correlation_id=client.correlation_id,
        traceparent=client.traceparent,
        view=client.view,
        arrived=monotonic(),
        report=report,
    )


def _no_method(name: str | None) -> rpc.RpcError:
    return rpc.RpcError(rpc.METHOD_NOT_FOUND, f"there is no method {name!r} here", status=404)


def _complete(result: Mapping[str, Any]) -> str:
    return rpc.text_of(
        {"resultType": "complete", **result, "_meta": {_SERVER_INFO_KEY: SERVER_INFO}}
    )


def ended(work: asyncio.Task[str], request_id: rpc.Id) -> tuple[bytes, int]:
    """The answer of work that has ended, and its HTTP status."""
    failure = work.exception()
    if failure is None:
        return rpc.response(request_id, work.result()), 200
    if isinstance(failure, rpc.RpcError):
        return rpc.refusal(request_id, failure), failure.status
    log.error("request_failed", exc_info=failure)
    broke = rpc.RpcError(rpc.INTERNAL_ERROR, "the hub failed to answer; its log says more")
    return rpc.refusal(request_id, broke), 500
