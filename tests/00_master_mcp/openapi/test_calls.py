"""A call of a tool is exactly one request to the API, to the byte."""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote

import aiohttp
import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flotilla import InvalidArgument, NotConfigured, NotFound, TimedOut, Unavailable
from master.external.openapi import Document, OpenApiServer, load

pytestmark = pytest.mark.anyio

KEY = "k3y-of-the-petstore"


@pytest.fixture
def pets(api: Any, petstore: Document, session: aiohttp.ClientSession) -> OpenApiServer:
    return OpenApiServer(
        petstore, session=session, url=f"{api.url}/api/v1/", credentials={"key": KEY}
    )


async def call(server: OpenApiServer, tool: str, /, **arguments: Any) -> dict[str, Any]:
    with anyio.fail_after(10):
        return await server.call(tool, arguments, timeout_s=5, headers={})


async def test_path_query_header_and_key_stand_where_they_belong(
    api: Any, pets: OpenApiServer
) -> None:
    arguments = {"limit": 5, "filter_name": "a&b", "X-Request-Id": "r 1"}
    await pets.call("listPets", arguments, timeout_s=5, headers={"x-correlation-id": "c-1"})
    assert api.last.method == "GET"
    assert api.last.target == f"/api/v1/pets?limit=5&filter%5Bname%5D=a%26b&api_key={KEY}"
    assert api.last.header("X-Request-Id") == "r 1"
    assert api.last.header("x-correlation-id") == "c-1"
    assert api.last.header("accept") == "application/json, */*;q=0.8"
    assert api.last.header("content-type") is None
    assert api.last.body == b""


async def test_a_json_body_is_put_together_from_its_members(api: Any, pets: OpenApiServer) -> None:
    await call(pets, "replacePet", petId="ä/1", name="Tom", kind=None, parent={"name": "Kit"})
    assert api.last.method == "PUT"
    assert api.last.target == f"/api/v1/pets/%C3%A4%2F1?api_key={KEY}"
    assert api.last.header("content-type") == "application/json"
    assert json.loads(api.last.body) == {"name": "Tom", "kind": None, "parent": {"name": "Kit"}}


async def test_a_whole_json_body_is_sent_as_it_is(api: Any, pets: OpenApiServer) -> None:
    await call(pets, "putLabels", body={"a": "1", "b": "é"})
    assert api.last.body == '{"a":"1","b":"é"}'.encode()


async def test_a_form_is_written_as_its_encoding_says(api: Any, pets: OpenApiServer) -> None:
    await call(
        pets,
        "login",
        user="a b&c",
        roles=["x", "y"],
        meta={"k": [1]},
        filter={"from": "1"},
    )
    assert api.last.header("content-type") == "application/x-www-form-urlencoded"
    assert parse_qsl(api.last.body.decode()) == [
        ("user", "a b&c"),
        ("roles", "x"),
        ("roles", "y"),
        ("meta", '{"k":[1]}'),
        ("filter[from]", "1"),
    ]


async def test_a_multipart_body_to_the_byte(api: Any, pets: OpenApiServer) -> None:
    photo = base64.b64encode(b"\x89PNG\r\n--x").decode()
    page = base64.b64encode(b"p").decode()
    await call(
        pets,
        "uploadPhoto",
        petId="1",
        photo=photo,
        pages=[page, page],
        caption="Ä",
        tags=["a", "b"],
        about={"year": 2026},
    )
    kind = api.last.header("content-type")
    assert kind is not None and kind.startswith("multipart/form-data; boundary=")
    boundary = kind.partition("=")[2]

    def part(head: str, kind: str, content: bytes) -> bytes:
        lines = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{head}\r\nContent-Type: {kind}'
        )
        return lines.encode() + b"\r\n\r\n" + content + b"\r\n"

    text = "text/plain; charset=utf-8"
    assert api.last.body == b"".join(
        [
            part('photo"; filename="photo"', "image/png", b"\x89PNG\r\n--x"),
            part('pages"; filename="pages"', "application/octet-stream", b"p"),
            part('pages"; filename="pages"', "application/octet-stream", b"p"),
            part('caption"', text, "Ä".encode()),
            part('tags"', text, b"a"),
            part('tags"', text, b"b"),
            part('about"', "application/json", b'{"year":2026}'),
            f"--{boundary}--\r\n".encode(),
        ]
    )


async def test_text_and_bytes_go_raw(api: Any, pets: OpenApiServer) -> None:
    await call(pets, "putNote", body="Grüße\n")
    assert api.last.body == "Grüße\n".encode()
    assert api.last.header("content-type") == "text/plain; charset=utf-8"
    await call(pets, "putBlob", body=base64.b64encode(bytes(range(256))).decode())
    assert api.last.body == bytes(range(256))
    assert api.last.header("content-type") == "application/octet-stream"


async def test_an_optional_body_that_is_not_given_is_not_sent(
    api: Any, session: aiohttp.ClientSession, document: Callable[..., Document]
) -> None:
    schema = {"type": "object", "properties": {"a": {}}}
    content = {"application/json": {"schema": schema}}
    paths = {
        "/may": {"post": {"requestBody": {"content": content}}},
        "/must": {"post": {"requestBody": {"required": True, "content": content}}},
    }
    server = OpenApiServer(document(paths), session=session, url=api.url)
    await call(server, "postMay")
    assert (api.last.body, api.last.header("content-type")) == (b"", None)
    await call(server, "postMust")
    assert (api.last.body, api.last.header("content-type")) == (b"{}", "application/json")


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("listPets", {"limit": "5"}, "limit: must be integer, not string"),
        ("listPets", {"limit": 0}, "limit: breaks `exclusiveMinimum: 0`"),
        ("listPets", {"offset": 1}, "has a member that is not known here"),
        ("replacePet", {"petId": "1"}, "missing 'name'"),
        ("replacePet", {"petId": "1", "name": "a", "kind": "cow"}, "kind: must be one of 'cat'"),
        ("replacePet", {"petId": "..", "name": "a"}, "must not be `.` or `..`"),
        ("replacePet", {"petId": ".", "name": "a"}, "must not be `.` or `..`"),
        ("replacePet", {"petId": "", "name": "a"}, "must not be empty"),
        ("listPets", {"X-Request-Id": "a\r\nX: y"}, "control characters"),
        ("listPets", {"X-Request-Id": "\ud800"}, "surrogate"),
        ("putBlob", {"body": "no base64!"}, "body: must be base64"),
    ],
)
async def test_what_does_not_fit_is_refused_before_any_request(
    api: Any, pets: OpenApiServer, tool: str, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidArgument, match=said):
        await call(pets, tool, **arguments)
    assert api.received == []


@pytest.mark.parametrize("value", ["../../admin", "..%2fadmin", "a/../b", "//evil", "%2e%2e", "?x"])
async def test_a_path_parameter_cannot_leave_its_place(
    api: Any, pets: OpenApiServer, value: str
) -> None:
    await call(pets, "deletePet", petId=value)
    target = api.last.target
    assert target.startswith("/api/v1/pets/")
    assert unquote(target.removeprefix("/api/v1/pets/")) == value
    assert "/" not in target.removeprefix("/api/v1/pets/") and "?" not in target


async def test_a_regular_expression_of_the_document_holds_nobody_up(
    api: Any, session: aiohttp.ClientSession, document: Callable[..., Document]
) -> None:
    slow = {"type": "string", "pattern": "^(a+)+$"}
    made = document({"/a": {"get": {"parameters": [{"name": "q", "in": "query", "schema": slow}]}}})
    server = OpenApiServer(made, session=session, url=api.url)
    assert server.tools()[0]["inputSchema"]["properties"]["q"] == slow
    await call(server, "getA", q="a" * 60 + "b")
    assert api.last.target.endswith("ab")


async def test_an_unknown_tool_is_not_found(pets: OpenApiServer) -> None:
    with pytest.raises(NotFound):
        await call(pets, "dropTables")


async def test_an_api_that_does_not_answer_is_given_up_in_time(
    api: Any, pets: OpenApiServer
) -> None:
    api.silent = True
    with pytest.raises(TimedOut):
        await pets.call("deletePet", {"petId": "1"}, timeout_s=0.1, headers={})


async def test_an_api_that_is_away_is_unavailable(
    petstore: Document, session: aiohttp.ClientSession, other: Any
) -> None:
    closed = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = closed.sockets[0].getsockname()[1]
    closed.close()
    await closed.wait_closed()
    server = OpenApiServer(petstore, session=session, url=f"http://127.0.0.1:{port}")
    with pytest.raises(Unavailable):
        await call(server, "deletePet", petId="1")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_elsewhere_is_told_and_not_followed(
    api: Any, other: Any, pets: OpenApiServer, reply: Any, status: int
) -> None:
    api.answer = lambda _: reply(status, b"", {"Location": f"{other.url}/steal"})
    result = await call(pets, "listPets")
    assert result["isError"]
    assert f"it leads to {other.url}, where no call" in result["content"][0]["text"]
    assert other.received == []


async def test_a_redirect_at_home_is_followed_with_the_credentials(
    api: Any, pets: OpenApiServer, reply: Any
) -> None:
    def answer(request: Any) -> Any:
        moved = reply(308, b"", {"Location": "/new?x=1"})
        return moved if request.target.startswith("/api") else reply(204)

    api.answer = answer
    assert "isError" not in await call(pets, "replacePet", petId="1", name="a")
    assert [each.target.partition("?")[0] for each in api.received] == ["/api/v1/pets/1", "/new"]
    assert api.last.method == "PUT" and json.loads(api.last.body) == {"name": "a"}


async def test_redirects_in_a_circle_end(api: Any, pets: OpenApiServer, reply: Any) -> None:
    api.answer = lambda request: reply(302, b"", {"Location": request.target})
    assert (await call(pets, "listPets"))["isError"]
    assert len(api.received) == 6


@pytest.mark.parametrize(
    ("servers", "options", "base"),
    [
        ([{"url": "https://pets.example"}], {}, None),
        ([], {}, None),
        ([{"url": "/v2"}], {"source": "{api}/docs/openapi.json"}, "/v2"),
        ([{"url": "../v3/"}], {"source": "{api}/docs/openapi.json?x=1"}, "/v3"),
        ([{"url": "https://a.example"}, {"url": "{api}/v4"}], {"source": "{api}/o.json"}, "/v4"),
        ([], {"source": "{api}/docs/openapi.json"}, ""),
        ([{"url": "https://a.example"}], {"source": "{api}/o.json"}, None),
        ([{"url": "https://a.example"}], {"url": "{api}/v5/"}, "/v5"),
        ([{"url": "//evil.example/x"}], {"source": "{api}/o.json"}, None),
    ],
)
async def test_a_document_is_believed_about_its_own_origin_alone(
    api: Any,
    session: aiohttp.ClientSession,
    document: Callable[..., Document],
    servers: list[dict[str, str]],
    options: dict[str, str],
    base: str | None,
) -> None:
    named = [{"url": each["url"].replace("{api}", api.url)} for each in servers]
    made = document({"/a": {"get": {}}}, servers=named)
    given = {key: value.replace("{api}", api.url) for key, value in options.items()}
    if base is None:
        with pytest.raises(NotConfigured, match="which is not where it came from"):
            OpenApiServer(made, session=session, **given)  # type: ignore[arg-type]
        return
    server = OpenApiServer(made, session=session, **given)  # type: ignore[arg-type]
    await call(server, "getA")
    assert api.last.target == f"{base}/a"


async def test_variables_of_a_server_are_filled_in(
    api: Any, session: aiohttp.ClientSession, document: Callable[..., Document]
) -> None:
    variables = {"v": {"default": "v1", "enum": ["v1", "v2"]}}
    made = document({"/a": {"get": {}}}, servers=[{"url": "/api/{v}", "variables": variables}])

    def server(**given: str) -> OpenApiServer:
        return OpenApiServer(made, session=session, source=api.url, server_variables=given)

    await call(server(), "getA")
    await call(server(v="v2"), "getA")
    assert [each.target for each in api.received] == ["/api/v1/a", "/api/v2/a"]
    with pytest.raises(InvalidArgument, match="must be one of v1, v2"):
        server(v="@evil.example/")


async def test_an_operation_with_a_server_elsewhere_is_left_out(
    api: Any, session: aiohttp.ClientSession, document: Callable[..., Document]
) -> None:
    paths = {
        "/a": {"get": {"servers": [{"url": "https://uploads.example"}]}},
        "/b": {"get": {"servers": [{"url": "/own"}]}},
    }
    server = OpenApiServer(document(paths), session=session, url=f"{api.url}/base")
    assert [tool["name"] for tool in server.tools()] == ["getB"]
    assert "uploads.example" in server.left_out[0].reason
    await call(server, "getB")
    assert api.last.target == "/own/b"


@pytest.mark.parametrize(
    "url",
    ["ftp://x", "x", "http://", "http://u:p@x", "http://x?a=1", "http://x:99999", "file:///e"],
)
async def test_a_base_url_that_is_none_is_refused(
    petstore: Document, session: aiohttp.ClientSession, url: str
) -> None:
    with pytest.raises(InvalidArgument):
        OpenApiServer(petstore, session=session, url=url)


async def test_a_session_that_keeps_cookies_is_refused(petstore: Document) -> None:
    async with aiohttp.ClientSession() as keeps:
        with pytest.raises(TypeError, match="cookies"):
            OpenApiServer(petstore, session=keeps, url="http://x")


_EVERYTHING: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "numbers": {"type": "array", "items": {"type": "integer"}},
        "nested": {
            "type": "object",
            "properties": {"deep": {"type": "array", "items": {"type": ["string", "null"]}}},
            "additionalProperties": {"type": "boolean"},
        },
    },
    "required": ["text"],
}


_texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=10)
_arguments = st.fixed_dictionaries(
    {"p": _texts.filter(bool) | st.sampled_from([".", "..", "../..", "a/b"]), "text": _texts},
    optional={
        "q": st.lists(_texts, max_size=3),
        "j": st.recursive(_texts | st.none(), lambda x: st.dictionaries(_texts, x, max_size=2)),
        "H": st.integers(),
        "c": _texts,
        "numbers": st.lists(st.integers(), max_size=3),
        "nested": st.fixed_dictionaries(
            {},
            optional={"deep": st.lists(_texts | st.none(), max_size=2), "more": st.booleans()},
        ),
    },
)


async def test_what_a_tool_takes_is_what_the_api_gets(
    api: Any, session: aiohttp.ClientSession
) -> None:
    places = [
        {"name": "p", "in": "path", "schema": {"type": "string", "minLength": 1}},
        {"name": "q", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
        {"name": "j", "in": "query", "content": {"application/json": {"schema": {}}}},
        {"name": "H", "in": "header", "schema": {"type": "integer"}},
        {"name": "c", "in": "cookie", "schema": {"type": "string"}},
    ]
    body = {"required": True, "content": {"application/json": {"schema": _EVERYTHING}}}
    operation = {"parameters": places, "requestBody": body}
    text = json.dumps({"openapi": "3.1.0", "paths": {"/x/{p}/y": {"post": operation}}})
    server = OpenApiServer(load(text), session=session, url=api.url)
    (tool,) = server.tools()

    examples: list[dict[str, Any]] = []

    @settings(max_examples=100, deadline=None)
    @given(_arguments)
    def drawn(arguments: dict[str, Any]) -> None:
        examples.append(arguments)

    # hypothesis draws outside a running loop's coroutine; the requests are made here.
    drawn()
    seen = 0
    for arguments in examples:
        api.received.clear()
        try:
            await call(server, tool["name"], **arguments)
        except InvalidArgument:
            assert arguments["p"] in (".", "..") or "\\u0000" in json.dumps(arguments)
            continue
        seen += 1
        path, _, query = api.last.target.partition("?")
        assert unquote(path) == f"/x/{arguments['p']}/y" and path.count("/") == 3
        pairs = parse_qsl(query, keep_blank_values=True)
        assert [value for name, value in pairs if name == "q"] == arguments.get("q", [])
        given_json = [json.loads(value) for name, value in pairs if name == "j"]
        assert given_json == ([arguments["j"]] if arguments.get("j") is not None else [])
        assert api.last.header("H") == (str(int(arguments["H"])) if "H" in arguments else None)
        cookie = api.last.header("Cookie")
        assert cookie is None or unquote(cookie) == f"c={arguments['c']}"
        members = {key: arguments[key] for key in _EVERYTHING["properties"] if key in arguments}
        assert json.loads(api.last.body) == members
    assert seen > 20
