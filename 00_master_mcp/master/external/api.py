"""`/mcp/servers`: the external servers for a person, to look at and to manage.

Whoever may call tools may look. Only the owner may change anything: to add a server is to run a
program of somebody's choice, and to accept a tool is to vouch for it, which no model can.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from flotilla import (
    Conflict,
    FlotillaError,
    InvalidArgument,
    Model,
    NotAllowed,
    NotFound,
    Unavailable,
    correlation,
)
from flotilla.identity import Caller
from flotilla.serving.gates import CALLER, whole_body
from master.external.registry import read_server
from master.external.servers import ExternalServers
from master.principals import OWNER

PATH = "/mcp/servers"
MAX_BODY_BYTES = 1024 * 1024

_STATUS: Mapping[str, int] = {
    InvalidArgument.code: 400,
    NotAllowed.code: 403,
    NotFound.code: 404,
    Conflict.code: 409,
    Unavailable.code: 503,
}


class Added(Model):
    """A server to add: an entry as in `mcp.json`, or a `server.json` of the MCP Registry."""

    name: str | None = None
    entry: dict[str, Any] | None = None
    server: dict[str, Any] | None = None


class Accepted(Model):
    """A tool that was held back, by the digest under which it was shown."""

    tool: str
    digest: str = Field(min_length=1)


Answer = Callable[[Request], Awaitable[Any]]
_Body = TypeVar("_Body", bound=Model)


class ServersApi:
    """The routes; each answers JSON, errors in the same shape as a tool's."""

    def __init__(self, servers: ExternalServers) -> None:
        self._servers = servers

    def routes(self) -> list[BaseRoute]:
        one = f"{PATH}/{{name}}"
        known: list[tuple[str, str, Answer]] = [
            ("GET", PATH, self._list),
            ("POST", PATH, self._add),
            ("GET", one, self._show),
            ("DELETE", one, self._remove),
            ("POST", f"{one}/start", self._start),
            ("POST", f"{one}/stop", self._stop),
            ("POST", f"{one}/accept", self._accept),
        ]
        return [
            Route(path, _answered(answer, owner=method != "GET"), methods=[method])
            for method, path, answer in known
        ]

    async def _list(self, request: Request) -> Any:
        del request
        return {"servers": [_json(state) for state in self._servers.states()]}

    async def _show(self, request: Request) -> Any:
        return _json(self._servers.state(request.path_params["name"]))

    async def _add(self, request: Request) -> Any:
        asked = await _body(request, Added)
        if (asked.entry is None) == (asked.server is None):
            raise InvalidArgument("say either entry, as in mcp.json, or server, a server.json")
        if asked.server is None:
            if asked.name is None:
                raise InvalidArgument("name is missing")
            return _json(await self._servers.add(asked.name, asked.entry))
        offer = read_server(asked.server, name=asked.name).offer()
        state = await self._servers.add(offer.name, offer.entry)
        return {
            **_json(state),
            "needs": [asdict(need) for need in offer.needs],
            "notes": offer.notes,
        }

    async def _remove(self, request: Request) -> Any:
        await self._servers.remove(request.path_params["name"])
        return {"removed": request.path_params["name"]}

    async def _start(self, request: Request) -> Any:
        return _json(await self._servers.start(request.path_params["name"]))

    async def _stop(self, request: Request) -> Any:
        return _json(await self._servers.stop(request.path_params["name"]))

    async def _accept(self, request: Request) -> Any:
        asked = await _body(request, Accepted)
        name = request.path_params["name"]
        return _json(await self._servers.accept(name, asked.tool, asked.digest))


def _answered(answer: Answer, *, owner: bool) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            caller: Caller = request.scope[CALLER]
            if owner and caller.principal != OWNER:
                raise NotAllowed(
                    "only the owner may change the external servers",
                    hint="Send the token that the first start wrote to owner_token.",
                )
            return JSONResponse(await answer(request))
        except FlotillaError as error:
            told = {"error": error.as_json(request.scope[correlation.SCOPE])}
            return JSONResponse(told, _STATUS.get(error.code, 500))

    return endpoint


async def _body(request: Request, kind: type[_Body]) -> _Body:
    """The body of a request; InvalidArgument says what is wrong with it."""
    raw = await whole_body(request.receive)
    if raw is None or len(raw) > MAX_BODY_BYTES:
        raise InvalidArgument("the body has over 1 MiB")
    try:
        return kind.model_validate_json(raw)
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False, include_context=False)
        where = ".".join(map(str, told[0]["loc"])) or "the body"
        raise InvalidArgument(f"{where}: {told[0]['msg']}") from None


def _json(state: Model) -> dict[str, Any]:
    return state.model_dump(mode="json", by_alias=True, exclude_none=True)
