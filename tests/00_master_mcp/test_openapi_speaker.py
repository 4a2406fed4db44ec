"""An API with an OpenAPI document as a server of the hub's: its document is kept fresh, its tools
are called with who and why, and what it answers is a stranger's."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from flotilla import Deadline, FlotillaError, InvalidArgument, NotConfigured, Principal, Unavailable
from flotilla.errors import TooLarge, UpstreamError
from master import rpc
from master.call import Call
from master.catalogue import Entry, View
from master.external.config import parse_entry
from master.external.handles import resolve
from master.external.openapi import document as document_limits
from master.external.openapi_speaker import OpenApiSpeaker
from master.offer import Offer
from tests.conftest import until

pytestmark = pytest.mark.anyio

KEY = "key-4711-of-the-api"


def document(*operations: str, **more: Any) -> dict[str, Any]:
    """Each operation is a GET of its own path."""
    paths = {
        f"/{name}": {
            "get": {
                "operationId": name,
                "parameters": [{"name": "q", "in": "query", "schema": {"type": "string"}}],
                "responses": {"200": {"description": "ok"}},
            }
        }
        for name in operations
    }
    return {"openapi": "3.1.0", "info": {"title": "T", "version": "7"}, "paths": paths, **more}


class Api:
    """An API on loopback that also serves its document, with an ETag."""

    def __init__(self) -> None:
        self.document: Any = document("listPets")
        self.headers: list[Mapping[str, str]] = []
        self.fetched: list[tuple[int, Mapping[str, str]]] = []
        self.status = 200
        self.answer: Any = {"pets": ["tom"]}
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Api"]:
        app = web.Application()
        app.router.add_get("/openapi.json", self._document)
        app.router.add_get("/moved.json", self._moved)
        app.router.add_get("/away.json", self._away)
        app.router.add_get("/{operation}", self._operation)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _document(self, request: web.Request) -> web.Response:
        text = self.document if isinstance(self.document, str) else json.dumps(self.document)
        tag = f'"{hash(text)}"'
        status = 304 if request.headers.get("if-none-match") == tag else self.status
        self.fetched.append((status, dict(request.headers)))
        body = text if status == 200 else None
        return web.Response(status=status, text=body, headers={"ETag": tag})

    async def _moved(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("/openapi.json")

    async def _away(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("http://elsewhere.invalid/openapi.json")

    async def _operation(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        text = json.dumps(self.answer, ensure_ascii=False)
        return web.Response(text=text, content_type="application/json")


class Notebook:
    def __init__(self) -> None:
        self.offers: list[Offer] = []

    def offered(self, offer: Offer) -> None:
        self.offers.append(offer)

    def updated(self, uri: str, params: rpc.Texts) -> None:
        raise AssertionError("an API has no resources")

    def said(self, method: str, params: rpc.Texts) -> None:
        raise AssertionError("an API says nothing by itself")

    @property
    def names(self) -> list[str]:
        return [tool["name"] for tool in self.offers[-1].of("tools")] if self.offers else []


@pytest.fixture
async def api() -> AsyncGenerator[Api]:
    async with Api().running() as running:
        yield running


def speaker(entry: Mapping[str, Any], every_s: float | None = 0.02) -> OpenApiSpeaker:
    resolved = resolve("pets", parse_entry("pets", entry), {"KEY": KEY})
    return OpenApiSpeaker("pets", resolved, every_s=every_s)


@asynccontextmanager
async def held(speaking: OpenApiSpeaker) -> AsyncGenerator[Notebook]:
    notes = Notebook()
    holding = asyncio.create_task(speaking.hold(notes))
    try:
        await until(lambda: notes.offers or holding.done())
        if holding.done():
            await holding
        yield notes
    finally:
        holding.cancel()
        await asyncio.wait({holding})


def call(name: str = "listPets", method: str = "tools/call", **arguments: Any) -> Call:
    return Call(
        method=method,
        principal=Principal("admin", ("admin",)),
        name=name,
        params={},
        arguments=arguments,
        meta={"tracestate": "a=b"},
        correlation_id="0195-a-call",
        traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
        view=View(),
        capabilities={},
        arrived=0.0,
        hearer=None,  # pyright: ignore[reportArgumentType]  an API reports nothing
        target=Entry(name, "pets", {}),
        deadline=Deadline.after(10),
    )


async def test_a_tool_is_called_with_who_and_why(api: Api) -> None:
    speaking = speaker({"document": f"{api.url}/openapi.json", "headers": {"X-Tenant": "t1"}})
    async with held(speaking) as notes:
        assert notes.names == ["listPets"]
        assert notes.offers[0].version == "7"
        assert await speaking.probe(1) is None
        result = await speaking.send(call(q="x"))
    assert json.loads(json.loads(result.texts["content"])[0]["text"]) == {"pets": ["tom"]}
    sent = {name.lower(): value for name, value in api.headers[0].items()}
    assert sent["x-correlation-id"] == "0195-a-call"
    assert sent["traceparent"].startswith("00-1111")
    assert sent["tracestate"] == "a=b"
    assert sent["x-tenant"] == "t1"


async def test_only_tools_can_be_called(api: Api) -> None:
    speaking = speaker({"document": f"{api.url}/openapi.json"})
    async with held(speaking):
        with pytest.raises(rpc.RpcError) as refused:
            await speaking.send(call(method="resources/read"))
        with pytest.raises(InvalidArgument):
            await speaking.send(call(q=5))
    assert refused.value.code == rpc.METHOD_NOT_FOUND
    with pytest.raises(Unavailable):
        await speaking.send(call())
    with pytest.raises(Unavailable):
        await speaking.probe(1)


async def test_a_document_is_fetched_again_only_when_it_has_changed(api: Api) -> None:
    async with held(speaker({"document": f"{api.url}/openapi.json"})) as notes:
        await until(lambda: [status for status, _ in api.fetched].count(304) >= 2)
        assert len(notes.offers) == 1
        api.document = document("listPets", "listToys")
        await until(lambda: notes.names == ["listPets", "listToys"])
        assert len(notes.offers) == 2


async def test_a_worse_document_or_none_leaves_the_last_one_in_use(api: Api) -> None:
    speaking = speaker({"document": f"{api.url}/openapi.json"})
    async with held(speaking) as notes:
        api.document = "{ no document"
        seen = len(api.fetched)
        await until(lambda: len(api.fetched) >= seen + 2)
        api.status = 500
        seen = len(api.fetched)
        await until(lambda: len(api.fetched) >= seen + 2)
        assert "isError" not in (await speaking.send(call())).texts
        api.status, api.document = 200, document("listToys")
        await until(lambda: notes.names == ["listToys"])


async def test_a_file_is_read_again_when_it_has_changed(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "api.json"
    file.write_text(json.dumps(document("listPets")))
    entry = {"document": str(file), "url": api.url, "exclude": {"operationIds": ["listToys"]}}
    async with held(speaker(entry)) as notes:
        file.write_text(json.dumps(document("listPets", "listToys", "listMore")))
        await until(lambda: notes.names == ["listPets", "listMore"])


async def test_what_an_entry_says_of_the_api_is_kept(api: Api) -> None:
    scheme = {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}
    server = {"url": "{origin}/{place}", "variables": {"origin": {"default": api.url}}}
    server["variables"]["place"] = {"default": "nowhere"}  # pyright: ignore[reportIndexIssue]
    api.document = document(
        "listPets",
        "listToys",
        components={"securitySchemes": scheme},
        security=[{"key": []}],
        servers=[server],
    )
    api.answer = {"told": f"your key is {KEY}"}
    entry = {
        "document": f"{api.url}/openapi.json",
        "credentials": {"key": "${env:KEY}"},
        "include": {"operationIds": ["listPets"]},
        "serverVariables": {"place": ""},
    }
    speaking = speaker(entry)
    async with held(speaking) as notes:
        assert notes.names == ["listPets"]
        result = await speaking.send(call())
    assert api.headers[0]["X-Key"] == KEY
    assert KEY not in str(result.texts)


async def test_a_document_may_move_within_its_origin_and_not_out_of_it(api: Api) -> None:
    async with held(speaker({"document": f"{api.url}/moved.json"})) as notes:
        assert notes.names == ["listPets"]
    with pytest.raises(UpstreamError, match=r"is at http://elsewhere\.invalid now"):
        async with held(speaker({"document": f"{api.url}/away.json"})):
            pass


async def test_an_apis_headers_do_not_go_where_only_its_document_is(api: Api) -> None:
    entry = {
        "document": f"{api.url}/openapi.json",
        "url": "http://127.0.0.1:1",
        "headers": {"X-Tenant": "t1"},
    }
    async with held(speaker(entry)):
        pass
    assert all("X-Tenant" not in headers for _, headers in api.fetched)


@pytest.mark.parametrize(
    ("entry", "kind", "said"),
    [
        ({"document": "/no/such/file"}, NotConfigured, "cannot read the document /no/such/file"),
        ({"document": "http://127.0.0.1:1/a"}, Unavailable, "cannot be reached"),
    ],
)
async def test_without_a_document_there_is_no_server(
    entry: Mapping[str, Any], kind: type[FlotillaError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        async with held(speaker(entry)):
            pass


async def test_a_document_beyond_the_limit_is_not_read(api: Api) -> None:
    api.document = " " * (document_limits.MAX_BYTES + 1)
    with pytest.raises(TooLarge):
        async with held(speaker({"document": f"{api.url}/openapi.json"})):
            pass


async def test_a_document_that_was_refused_is_not_read_again(api: Api) -> None:
    api.document = "{ no document"
    speaking = speaker({"document": f"{api.url}/openapi.json"})
    errors: list[FlotillaError] = []
    for _ in range(2):
        with pytest.raises(InvalidArgument) as caught:
            async with held(speaking):
                pass
        errors.append(caught.value)
    assert errors[0] is errors[1]


async def test_through_the_hub_an_api_is_a_server_like_another(api: Api, start_fleet: Any) -> None:
    api.answer = {"pets": ["t\u200bom", "h\U000e0041i"]}
    entry = {"document": f"{api.url}/openapi.json", "approval": "never"}
    async with start_fleet(external={"pets": entry}) as fleet:

        async def listed() -> bool:
            # A client keeps the list for as long as it may.
            async with fleet.client() as client:
                tools = (await client.list_tools()).tools
            return "ext_pets_listPets" in {tool.name for tool in tools}

        await until(listed)
        async with fleet.client() as client:
            result = await client.call_tool("ext_pets_listPets", {"q": "x"})
    assert json.loads(result.content[0].text) == {"pets": ["tom", "hi"]}
    assert result.meta["io.flotilla/untrusted"] is True
    sent = {name.lower(): value for name, value in api.headers[0].items()}
    assert sent["x-correlation-id"] == result.meta["io.flotilla/correlationId"]
    assert "authorization" not in sent
