"""What an API answers, as a result that every client takes."""

import asyncio
import base64
import gzip
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import anyio
import pytest
from jsonschema import Draft202012Validator
from mcp.types import CallToolResult, Tool

from flotilla import UpstreamError
from master.external.openapi import Document, OpenApiServer
from master.external.openapi.check import Check, bounded

pytestmark = pytest.mark.anyio

KEY = "k3y-of-the-petstore"


@pytest.fixture
def pets(api: Any, petstore: Document, session: aiohttp.ClientSession) -> OpenApiServer:
    return OpenApiServer(petstore, session=session, url=api.url, credentials={"key": KEY})


async def call(server: OpenApiServer, tool: str, /, **arguments: Any) -> dict[str, Any]:
    with anyio.fail_after(20):
        return await server.call(tool, arguments, timeout_s=15, headers={})


async def test_an_answer_that_keeps_its_promise_is_structured(
    api: Any, pets: OpenApiServer, json_reply: Any
) -> None:
    text = '{"id": 1, "name": "Tom", "mother": null, "extra": 12345678901234567890123}'
    api.answer = lambda _: json_reply(text, 201)
    result = await call(pets, "createPets", name="Tom")
    assert result == {
        "content": [{"type": "text", "text": text}],
        "structuredContent": json.loads(text),
    }


async def test_a_wrapped_answer_stands_under_result(
    api: Any, pets: OpenApiServer, json_reply: Any
) -> None:
    api.answer = lambda _: json_reply('[{"id": 1, "name": "a"}]')
    result = await call(pets, "listPets")
    (tool,) = [each for each in pets.tools() if each["name"] == "listPets"]
    assert result["structuredContent"] == {"result": [{"id": 1, "name": "a"}]}
    Draft202012Validator(tool["outputSchema"]).validate(result["structuredContent"])


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, '[{"id": "one", "name": "a"}]', "result.0.id: must be integer, not string"),
        (200, '[{"id": 1}]', "result.0: missing 'name'"),
        (200, "<html>", "it is not JSON"),
        (200, "", "it has no content"),
        (200, "[" * 5000, "it is not JSON"),
        (200, "[" * 90 + "]" * 90, "nested over 64"),
    ],
)
async def test_a_broken_promise_is_an_error_that_says_the_request_was_carried_out(
    api: Any, pets: OpenApiServer, json_reply: Any, status: int, body: str, said: str
) -> None:
    api.answer = lambda _: json_reply(body, status)
    result = await call(pets, "listPets")
    assert result["isError"] and "structuredContent" not in result
    text = result["content"][0]["text"]
    assert "the API carried out the request" in text and said in text
    assert text.endswith(body)


async def test_a_document_known_to_be_wrong_may_promise_nothing(
    api: Any, petstore: Document, session: aiohttp.ClientSession, json_reply: Any
) -> None:
    server = OpenApiServer(petstore, session=session, url=api.url, output_schemas=False)
    assert not any("outputSchema" in tool for tool in server.tools())
    api.answer = lambda _: json_reply('{"id": 1}')
    result = await call(server, "deletePet", petId="1")
    assert result == {"content": [{"type": "text", "text": '{"id": 1}'}]}


@pytest.mark.parametrize(("status", "line"), [(404, "HTTP 404 Not Found"), (599, "HTTP 599")])
async def test_an_api_s_own_error_is_handed_on_without_the_key(
    api: Any, pets: OpenApiServer, json_reply: Any, status: int, line: str
) -> None:
    api.answer = lambda request: json_reply(f'{{"no": "{request.target}"}}', status)
    result = await call(pets, "listPets")
    assert result["isError"]
    text = result["content"][0]["text"]
    assert text == f'{line}\n\n{{"no": "/pets?api_key=[redacted]"}}'


async def test_a_key_that_an_api_tells_is_redacted_everywhere(
    api: Any, pets: OpenApiServer, json_reply: Any
) -> None:
    coded = base64.b64encode(f"x{KEY}".encode()).decode()
    api.answer = lambda _: json_reply(json.dumps({"id": 1, "name": KEY, KEY: coded}), 201)
    result = await call(pets, "createPets", name="a")
    assert result["structuredContent"]["name"] == "[redacted]"
    told = json.dumps(result)
    assert KEY not in told and coded not in told


@pytest.mark.parametrize(
    ("kind", "body", "content"),
    [
        ("image/png", b"\x89P", {"type": "image", "data": "iVA=", "mimeType": "image/png"}),
        ("audio/wav", b"RI", {"type": "audio", "data": "Ukk=", "mimeType": "audio/wav"}),
        ("image/svg+xml", b"<svg/>", {"type": "text", "text": "<svg/>"}),
        ("text/html; charset=iso-8859-1", b"\xe4", {"type": "text", "text": "ä"}),
        ("application/json", b"[1]", {"type": "text", "text": "[1]"}),
        ("", b"plain", {"type": "text", "text": "plain"}),
    ],
)
async def test_content_comes_as_its_kind(
    api: Any, pets: OpenApiServer, reply: Any, kind: str, body: bytes, content: dict[str, Any]
) -> None:
    api.answer = lambda _: reply(200, body, {"Content-Type": kind} if kind else {})
    assert (await call(pets, "getPhoto", petId="1"))["content"] == [content]


async def test_other_bytes_come_as_a_resource_without_the_query(
    api: Any, pets: OpenApiServer, reply: Any
) -> None:
    api.answer = lambda _: reply(200, b"\0\1", {"Content-Type": "application/zip"})
    assert (await call(pets, "getPhoto", petId="1"))["content"] == [
        {
            "type": "resource",
            "resource": {
                "uri": f"{api.url}/pets/1/photo",
                "mimeType": "application/zip",
                "blob": "AAE=",
            },
        }
    ]


async def test_an_empty_answer_says_what_there_is_to_say(
    api: Any, pets: OpenApiServer, reply: Any
) -> None:
    api.answer = lambda _: reply(201, b"", {"Location": "/pets/7"})
    result = await call(pets, "replacePet", petId="7", name="a")
    assert result["content"][0]["text"] == "HTTP 201 Created\nlocation: /pets/7\ncontent-length: 0"


@pytest.mark.parametrize("size", [999, 1000, 1001, 100_000])
async def test_a_long_text_is_cut_at_the_limit_and_says_so(
    api: Any, petstore: Document, session: aiohttp.ClientSession, reply: Any, size: int
) -> None:
    server = OpenApiServer(petstore, session=session, url=api.url, max_answer_bytes=1000)
    api.answer = lambda _: reply(200, b"x" * size, {"Content-Type": "text/plain"})
    result = await call(server, "deletePet", petId="1")
    assert result["content"][0]["text"] == "x" * min(size, 1000)
    if size > 1000:
        assert result["_meta"] == {"io.flotilla/truncated": True}
        assert "more than the 1000 bytes" in result["content"][1]["text"]
    else:
        assert "_meta" not in result and len(result["content"]) == 1


async def test_bytes_over_the_limit_are_an_error_and_not_half_a_picture(
    api: Any, petstore: Document, session: aiohttp.ClientSession, reply: Any
) -> None:
    server = OpenApiServer(petstore, session=session, url=api.url, max_answer_bytes=1000)
    api.answer = lambda _: reply(200, b"\x89" * 2000, {"Content-Type": "image/png"})
    result = await call(server, "deletePet", petId="1")
    assert result["isError"] and "too large" in result["content"][0]["text"]


async def test_a_compressed_answer_that_swells_is_cut_at_the_limit(
    api: Any, petstore: Document, session: aiohttp.ClientSession, reply: Any
) -> None:
    server = OpenApiServer(petstore, session=session, url=api.url, max_answer_bytes=100_000)
    bomb = gzip.compress(b"x" * 50_000_000)
    told = {"Content-Type": "text/plain", "Content-Encoding": "gzip"}
    api.answer = lambda _: reply(200, bomb, told)
    result = await call(server, "deletePet", petId="1")
    assert len(result["content"][0]["text"]) == 100_000
    assert result["_meta"] == {"io.flotilla/truncated": True}


@pytest.mark.parametrize("kind", ["image/png", "text/plain", "application/zip", "application/json"])
async def test_every_result_and_tool_is_one_of_the_protocol(
    api: Any, pets: OpenApiServer, reply: Any, kind: str
) -> None:
    for tool in pets.tools():
        Tool.model_validate(tool)
    body = b'[{"id": 1, "name": "x"}]'
    for status in (200, 404):
        api.answer = lambda _, s=status: reply(s, body, {"Content-Type": kind})
        result = CallToolResult.model_validate(await call(pets, "getPhoto", petId="1"))
        assert bool(result.is_error) == (status == 404)


async def test_an_answer_that_breaks_off_is_an_upstream_error(
    api: Any, pets: OpenApiServer, reply: Any
) -> None:
    api.answer = lambda _: reply(200, b"half", {"Content-Length": "4000", "Connection": "close"})
    with pytest.raises(UpstreamError, match="broke off"):
        await call(pets, "deletePet", petId="1")


async def test_a_large_answer_is_checked_while_other_calls_go_on(
    api: Any, pets: OpenApiServer, json_reply: Any, reply: Any
) -> None:
    many = json.dumps([{"id": number, "name": "x" * 20} for number in range(10_000)])

    def answer(request: Any) -> Any:
        return json_reply(many) if request.method == "GET" else reply(204)

    api.answer = answer
    large = asyncio.ensure_future(call(pets, "listPets"))
    others = 0
    while not large.done():
        await call(pets, "deletePet", petId="1")
        others += 1
    assert len((await large)["structuredContent"]["result"]) == 10_000
    assert others > 3


@pytest.mark.real
async def test_an_answer_made_to_be_slow_to_check_ends(
    api: Any, session: aiohttp.ClientSession, document: Callable[..., Document], json_reply: Any
) -> None:
    schemas: dict[str, Any] = {"S20": {"type": "integer"}}
    for level in range(20):
        following = {"$ref": f"#/components/schemas/S{level + 1}"}
        schemas[f"S{level}"] = {"anyOf": [following, following]}
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/S0"}}}
    made = document(
        {"/a": {"get": {"responses": {"200": {"content": content}}}}},
        components={"schemas": schemas},
    )
    server = OpenApiServer(made, session=session, url=api.url)
    api.answer = lambda _: json_reply('"no number"')
    assert "too long to be checked" in (await call(server, "getA"))["content"][0]["text"]


def test_a_check_that_only_waits_for_its_turn_is_not_given_up() -> None:
    def waiting(_validator: Any, _value: Any, _instance: Any, _schema: Any) -> Iterator[Any]:
        time.sleep(0.3)
        yield from ()

    schema = {"items": {"title": "x", "type": "integer"}}
    check = Check(schema, bounded(instead={"title": waiting}))
    assert check.mistakes([1, 2], limit_s=0.25) == []
    assert check.mistakes([1, "2"], limit_s=0.25) == ["1: must be integer, not string"]
