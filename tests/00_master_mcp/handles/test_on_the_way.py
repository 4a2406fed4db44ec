"""Handles on the way of a call, with the real secrets spoke behind a real hub."""

import base64
import logging
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from structlog.testing import capture_logs

from flotilla.fleet import HUB
from tests.conftest import until
from tests.kept_files import contents

from .shop import CORE, FORMS, PATH, VALUE, House, Shop, open_house, said

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def opened(
    anyio_backend: Any, start_fleet_in: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[House]:
    folder: Path = tmp_path_factory.mktemp("house")
    async with open_house(lambda *a, **k: start_fleet_in(folder, *a, **k), folder) as house:
        await house.store()
        yield house


@pytest.fixture
def house(opened: House) -> Iterator[House]:
    opened.shop.given.clear()
    opened.shop.asked = 0
    yield opened


def hides(text: str) -> bool:
    core = base64.b64encode(VALUE.encode()).decode()[4:-8]
    tight = "".join(text.split()).replace("\\n", "")
    return CORE not in text and core not in tight and VALUE.encode().hex()[:40] not in tight


async def test_the_service_gets_the_value_and_the_client_never_does(house) -> None:
    async with house.fleet.client() as client:
        handle = await house.lease(client)
        result = await client.call_tool("test_shop_use", {"password": handle, "note": "fun"})
    assert house.shop.given == [VALUE]
    assert result.structured_content == {"text": "used [redacted] for fun"}
    assert hides(said(result))


@pytest.mark.parametrize("form", FORMS)
async def test_what_was_written_down_is_hidden_when_it_is_read_back(house, form) -> None:
    house.shop.given.append(VALUE)
    async with house.fleet.client() as client:
        result = await client.call_tool("test.shop.readBack", {"form": form})
    shown = said(result)
    assert hides(shown), shown[:500]
    assert "[redacted]" in shown


async def test_a_handle_deep_in_the_arguments_is_resolved_and_the_rest_stays_as_written(
    house,
) -> None:
    async with house.fleet.client() as client:
        handle = await house.lease(client)
        logins = [{"user": "a", "password": "own-word"}, {"user": "b", "password": handle}]
        result = await client.call_tool("test.shop.use", {"note": "é😀", "logins": logins})
    assert not result.is_error
    assert house.shop.given == ["none", "own-word", VALUE]


async def test_one_handle_twice_in_a_call_is_one_use(house) -> None:
    async with house.fleet.client() as client:
        handle = await house.lease(client, uses=1)
        logins = [{"user": "b", "password": handle}]
        result = await client.call_tool("test.shop.use", {"password": handle, "logins": logins})
        assert not result.is_error, said(result)
        again = await client.call_tool("test.shop.use", {"password": handle})
    assert house.shop.given == [VALUE, VALUE]
    assert again.is_error and "not_allowed" in said(again)


async def test_a_call_by_the_tool_that_calls_tools_is_resolved_for_the_tool_it_calls(house) -> None:
    async with house.fleet.client() as client:
        handle = await house.lease(client)
        inner = {"name": "test_shop_use", "arguments": {"password": handle}}
        result = await client.call_tool("master.tools.call", inner)
    assert not result.is_error, said(result)
    assert house.shop.given == [VALUE]


async def test_an_error_a_report_and_their_parts_are_hidden(house) -> None:
    heard: list[str] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(str(message))

    async with house.fleet.client() as client:
        handle = await house.lease(client, "test.shop.fail")
        failed = await client.call_tool("test.shop.fail", {"password": handle})
        handle = await house.lease(client, "test.shop.report")
        await client.call_tool("test.shop.report", {"password": handle}, progress_callback=hear)
    assert failed.is_error and "conflict" in said(failed)
    assert hides(said(failed))
    assert heard == ["trying [redacted]"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"password": "secret://{}", "note": "other"},
        {"note": "{}"},
        {"password": "x{}"},
        {"logins": [{"user": "{}", "password": "p"}]},
    ],
)
async def test_a_handle_that_is_guessed_or_out_of_place_reaches_no_service(
    house, arguments
) -> None:
    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("{}", handle if value != "secret://{}" else "A" * 22)
        if isinstance(value, list):
            return [filled(each) for each in value]
        return {key: filled(each) for key, each in value.items()}

    async with house.fleet.client() as client:
        handle = await house.lease(client)
        result = await client.call_tool("test.shop.use", filled(arguments))
    assert result.is_error
    assert house.shop.asked == 0 and house.shop.given == []


async def test_a_handle_leased_for_one_tool_is_no_good_for_another(house) -> None:
    async with house.fleet.client() as client:
        handle = await house.lease(client, "test.shop.report")
        result = await client.call_tool("test.shop.use", {"password": handle})
    assert result.is_error and "not_allowed" in said(result)
    assert house.shop.asked == 0


async def test_a_handle_of_one_principal_is_no_good_for_another(house) -> None:
    made = await house.api("POST", "/tokens", {"name": "bob", "roles": ["admin"]})
    assert made.status_code in (200, 201), made.text
    headers = {"Authorization": f"Bearer {made.json()['secret']}"}
    async with house.fleet.client() as client:
        handle = await house.lease(client)
        async with (
            httpx2.AsyncClient(headers=headers, timeout=20) as http,
            Client(streamable_http_client(f"{house.fleet.url}/mcp", http_client=http)) as bob,
        ):
            result = await bob.call_tool("test.shop.use", {"password": handle})
    assert result.is_error and "not_allowed" in said(result)
    assert house.shop.asked == 0


async def test_the_audit_says_who_had_what_resolved_and_never_the_value(house) -> None:
    async with house.fleet.client() as client:
        handle = await house.lease(client)
        await client.call_tool("test.shop.use", {"password": handle, "note": "audited"})
        await client.call_tool("test.shop.use", {"password": handle})

    async def rows() -> list[dict[str, Any]]:
        answer = await house.api("GET", "/audit?kind=secret&limit=200")
        found = [item["row"] for item in answer.json()["items"]]
        return [row for row in found if handle[:21] in str(row)]

    async def both() -> bool:
        return len(await rows()) == 2

    await until(both)
    refused, resolved = sorted(await rows(), key=lambda row: PATH in str(row))
    assert "handle_used_up" in str(refused), refused
    assert resolved["principal"] == "admin" and resolved["tool"] == "test.shop.use"
    assert handle not in str(resolved)
    everything = await house.api("GET", "/audit?limit=500")
    assert hides(everything.text)
    files = contents(house.fleet.common.data_dir / "hub")
    assert files
    for path, content in files.items():
        assert CORE.encode() not in content, path


async def test_the_log_never_has_the_value(house, caplog, capfd) -> None:
    caplog.set_level(logging.DEBUG)
    with capture_logs() as lines:
        async with house.fleet.client() as client:
            for tool in ("test.shop.use", "test.shop.fail"):
                handle = await house.lease(client, tool)
                await client.call_tool(tool, {"password": handle})
    assert {"call_answered", "tool_called"} <= {each["event"] for each in lines}
    assert hides("".join(capfd.readouterr()) + caplog.text + str(lines))


async def test_the_metrics_have_no_part_of_a_call_in_their_labels(house) -> None:
    async with house.fleet.client() as client:
        await client.call_tool(VALUE, {})
        await client.call_tool(f"test.shop.{CORE * 9}", {})
    async with httpx2.AsyncClient() as http:
        text = (await http.get(f"{house.fleet.url}/metrics")).text
    assert CORE not in text


async def test_the_hub_hides_after_a_restart_what_was_released_before(
    start_fleet, tmp_path
) -> None:
    async with open_house(start_fleet, tmp_path) as house:
        await house.release()
        await house.fleet.stop(HUB)
        await house.start_hub()
        await house.fleet.ready()
        shown = await house.read_back()
    assert hides(shown) and "[redacted]" in shown


@pytest.mark.real
async def test_without_the_secrets_spoke_a_handle_says_what_is_missing(start_fleet) -> None:
    shop = Shop()
    async with start_fleet([shop.spoke()]) as fleet, fleet.client() as client:
        result = await client.call_tool("test.shop.use", {"password": "secret://abc"})
    assert result.is_error and "not_configured" in said(result)
    assert shop.asked == 0
