"""`/mcp/servers`: the external servers for a person, to look at and to manage.

Whoever may call tools may look. Only the owner may change anything: to add a server is to run a
program of somebody's choice, and to accept a tool is to vouch for it, which no model can.
"""

from dataclasses import asdict
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from flotilla import InvalidArgument, Model
from master.external.registry import read_server
from master.external.servers import ExternalServers
from master.owner import Answer, answered, body_of

PATH = "/mcp/servers"


class Added(Model):
    """A server to add: an entry as in `mcp.json`, or a `server.json` of the MCP Registry."""

    name: str | None = None
    entry: dict[str, Any] | None = None
    server: dict[str, Any] | None = None


class Accepted(Model):
    """A tool that was held back, by the digest under which it was shown."""

    tool: str
    digest: str = Field(min_length=1)


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
            Route(path, answered(answer, owner=method != "GET"), methods=[method])
            for method, path, answer in known
        ]

    async def _list(self, request: Request) -> Any:
        del request
        return {"servers": [_json(state) for state in self._servers.states()]}

    async def _show(self, request: Request) -> Any:
        return _json(self._servers.state(request.path_params["name"]))

    async def _add(self, request: Request) -> Any:
        asked = await body_of(request, Added)
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
        asked = await body_of(request, Accepted)
        name = request.path_params["name"]
        return _json(await self._servers.accept(name, asked.tool, asked.digest))


def _json(state: Model) -> dict[str, Any]:
    return state.model_dump(mode="json", by_alias=True, exclude_none=True)
