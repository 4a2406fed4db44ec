"""A request to the pretended Resource Manager, and what is answered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.backends.azure.estate import Estate, Json, Operation, Refused


@dataclass
class Request:
    method: str
    base: str
    path: str
    query: Mapping[str, str]
    body: Any
    estate: Estate
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    groups: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def scope(self) -> str:
        """The ID that the path begins with."""
        return self.groups.get("scope", self.path)


@dataclass
class Reply:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict[str, str])


Handler = Callable[[Request], Reply]


def page_of(request: Request, items: list[Json]) -> Reply:
    """A page of a list with a next link; $top makes it smaller."""
    size = min(int(request.query.get("$top", request.estate.page)), 1000)
    start = 0
    token = request.query.get("$skiptoken")
    if token is not None:
        start = request.estate.page_tokens.get(token, -1)
        if start < 0:
            raise Refused(400, "InvalidSkipToken", "The skip token is not valid.")
    body: Json = {"value": items[start : start + size]}
    if start + size < len(items):
        token = f"st{start + size:x}Zq=="
        request.estate.page_tokens[token] = start + size
        kept = {name: value for name, value in request.query.items() if name != "$skiptoken"}
        query = "&".join(f"{name}={value}" for name, value in kept.items())
        body["nextLink"] = (
            f"{request.base}{request.path}?{query}&%24skiptoken={token.replace('=', '%3D')}"
        )
    return Reply(body=body)


def accepted(
    request: Request,
    operation: Operation,
    *,
    provider: str,
    status: int = 202,
    body: Any = None,
    ways: tuple[str, ...] = ("operation", "location"),
) -> Reply:
    """What tells where an operation can be followed."""
    subscription = request.path.split("/")[2]
    place = f"{request.base}/subscriptions/{subscription}"
    version = f"?api-version={request.query['api-version']}"
    headers = {"Retry-After": request.estate.retry_after}
    inner = f"providers/{provider}/locations/westeurope"
    if "operation" in ways:
        headers["Azure-AsyncOperation"] = (
            f"{place}/{inner}/operations/{operation.token}{version}&p=1"
        )
    if "location" in ways:
        headers["Location"] = f"{place}/{inner}/operations/{operation.token}{version}&monitor=true"
    if "results" in ways:
        headers["Location"] = f"{place}/operationresults/{operation.token}{version}"
    return Reply(status, body, headers)
