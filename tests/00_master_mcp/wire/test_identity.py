"""What goes with a call: its correlation ID and trace, never its client's credentials."""

import json
from typing import Any

import pytest

from flotilla import meta

from .house import House
from .ways import THROUGH, Way

pytestmark = pytest.mark.anyio

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def shown(house: House, way: Way, **more: Any) -> tuple[dict[str, Any], Any]:
    """What arrived at the server, and the result as the client got it."""
    async with house.client(way, **more) as client:
        result = await client.call_tool("show_request", {}, meta=more.pop("marks", None))
    return json.loads(result.content[0].text), result


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_the_clients_token_never_reaches_a_server(house: House, way: Way) -> None:
    token = house.fleet.token_file.read_text().strip()
    sent = {"cookie": "session=1", "x-api-key": "mine", "proxy-authorization": "Basic eA=="}
    arrived, _ = await shown(house, way, headers=sent)
    assert token not in json.dumps(arrived)
    assert not {"authorization", *sent} & set(arrived["headers"])


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_one_correlation_id_stands_in_header_meta_answer_and_log(
    house: House, way: Way, capsys: pytest.CaptureFixture[str]
) -> None:
    given = f"mine-{way}"
    arrived, result = await shown(house, way, headers={"x-correlation-id": given})
    assert arrived["meta"][meta.CORRELATION_ID] == given
    assert arrived["headers"].get("x-correlation-id") == given
    assert result.meta[meta.CORRELATION_ID] == given
    logged = [line for line in capsys.readouterr().out.splitlines() if "show_request" in line]
    assert len(logged) == 1


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_a_call_without_an_id_is_given_one_and_each_its_own(house: House, way: Way) -> None:
    ids: set[str] = set()
    async with house.client(way) as client:
        for _ in range(3):
            result = await client.call_tool("show_request", {})
            arrived = json.loads(result.content[0].text)
            ids.add(arrived["meta"][meta.CORRELATION_ID])
            assert result.meta[meta.CORRELATION_ID] == arrived["meta"][meta.CORRELATION_ID]
            assert arrived["headers"]["x-correlation-id"] in ids
    assert len(ids) == 3


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_the_trace_of_header_or_meta_goes_on(house: House, way: Way) -> None:
    arrived, _ = await shown(house, way, headers={"traceparent": TRACE})
    assert arrived["meta"]["traceparent"] == TRACE
    assert arrived["headers"]["traceparent"] == TRACE
    marks = {"traceparent": TRACE, "tracestate": "vendor=1", "baggage": "user=7"}
    async with house.client(way) as client:
        result = await client.call_tool("show_request", {}, meta=marks)
    arrived = json.loads(result.content[0].text)
    assert {key: arrived["meta"].get(key) for key in marks} == marks
    assert arrived["headers"]["traceparent"] == TRACE
    assert arrived["headers"]["tracestate"] == "vendor=1"


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_each_server_is_spoken_to_in_its_own_era_and_told_the_deadline(
    house: House, way: Way
) -> None:
    arrived, _ = await shown(house, way)
    assert arrived["era"] == ("modern" if way.south.modern else "handshake")
    assert 0 < arrived["meta"][meta.TIMEOUT_MS] <= 20_000
    if way.south.modern:
        assert arrived["clientInfo"]["name"] == "mcp", "a modern server is told the client itself"
