"""`/mcp/servers`: who may look, who may change, and what a wrong request is told."""

import os
from pathlib import Path
from typing import Any

import pytest

from .estate import Estate, puppet

pytestmark = pytest.mark.anyio

CHANGES = (
    ("POST", ""),
    ("DELETE", "/calm"),
    ("POST", "/calm/start"),
    ("POST", "/calm/stop"),
    ("POST", "/calm/accept"),
)


async def test_admin_and_owner_see_the_servers_and_how_they_are(estate: Estate) -> None:
    for client in (estate.admin, estate.owner):
        servers = {
            each["name"]: each for each in (await client.get("/mcp/servers")).json()["servers"]
        }
        assert {"calm", "off"} <= set(servers)
        calm, off = servers["calm"], servers["off"]
        assert calm["state"] == "running"
        assert calm["version"] == "1.2.3"
        assert calm["tools"] == 9
        assert calm["origin"] == "file"
        assert calm["held"] == []
        assert calm["pid"] > 1
        assert calm["protection"]["network"]
        assert off["state"] == "disabled"
        assert "pid" not in off
        assert calm == (await client.get("/mcp/servers/calm")).json()


async def test_an_entry_is_shown_without_the_values_of_its_variables(estate: Estate) -> None:
    shown = await estate.admin.get("/mcp/servers/calm")
    assert shown.json()["entry"]["env"] == ["API_TOKEN", "GREETING"]
    assert shown.json()["entry"]["description"] == "A puppet."
    everywhere = shown.text + (await estate.owner.get("/mcp/servers")).text
    assert "literal-secret-value" not in everywhere
    assert "hello" not in everywhere


async def test_a_remote_entry_is_shown_without_headers_password_and_query(estate: Estate) -> None:
    entry = {
        "url": "http://user:a-password@127.0.0.1:1/mcp?key=a-query-secret",
        "headers": {"Authorization": "Bearer a-header-secret"},
        "disabled": True,
    }
    told = await estate.add("remote", entry)
    text = (await estate.admin.get("/mcp/servers/remote")).text
    assert told["entry"]["url"] == "http://127.0.0.1:1/mcp?..."
    assert told["entry"]["headers"] == ["Authorization"]
    for secret in ("a-password", "a-query-secret", "a-header-secret"):
        assert secret not in text


@pytest.mark.parametrize("path", ["", "/calm"])
async def test_nobody_looks_without_a_token(estate: Estate, path: str) -> None:
    assert (await estate.nobody.get(f"/mcp/servers{path}")).status_code == 401
    wrong = {"Authorization": "Bearer flt_wrong"}
    assert (await estate.nobody.get(f"/mcp/servers{path}", headers=wrong)).status_code == 401


@pytest.mark.parametrize(("method", "path"), CHANGES)
async def test_only_the_owner_changes_anything(estate: Estate, method: str, path: str) -> None:
    body = {"name": "sly", "entry": {"command": "/bin/true"}, "tool": "echo", "digest": "0"}
    refused = await estate.admin.request(method, f"/mcp/servers{path}", json=body)
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "not_allowed"
    assert "owner" in refused.json()["error"]["message"]
    assert (
        await estate.nobody.request(method, f"/mcp/servers{path}", json=body)
    ).status_code == 401
    assert (await estate.state("calm"))["state"] == "running"
    assert (await estate.admin.get("/mcp/servers/sly")).status_code == 404


async def test_the_owner_is_no_client(estate: Estate) -> None:
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    for path in ("/mcp", "/servers/calm/mcp", "/mcp/", "/mcp/serversx"):
        assert (await estate.owner.post(path, json=ping)).status_code in (403, 404), path


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b"{}", "entry"),
        (b'{"entry": {"command": "/bin/true"}}', "name"),
        (b'{"name": "both", "entry": {}, "server": {}}', "either"),
        (b'{"name": 5, "entry": {}}', "name"),
        (b'{"name": "more", "entry": {}, "surprise": 1}', "surprise"),
        (b'{"name": "Not.Good", "entry": {"command": "/bin/true"}}', "not-good"),
        (b'{"name": "master", "entry": {"command": "/bin/true"}}', "fleet"),
        (b'{"name": "none", "entry": {}}', "command"),
        (b'{"name": "two", "entry": {"command": "/bin/true", "url": "http://a/"}}', "both"),
        (b'{"name": "odd", "entry": {"command": "/bin/true", "timeout": 5}}', "timeoutS"),
        (b'{"name": "odd", "entry": {"url": "ftp://a/"}}', "http"),
        (b'{"server": {"name": "no"}}', ""),
        (b'{"name": "\xff", "entry": {"command": "/bin/true"}}', ""),
    ],
)
async def test_a_wrong_body_is_told_what_is_wrong(estate: Estate, body: bytes, says: str) -> None:
    before = await estate.admin.get("/mcp/servers")
    answered = await estate.owner.post("/mcp/servers", content=body)
    error = answered.json()["error"]
    assert answered.status_code == 400
    assert error["code"] == "invalid_argument"
    assert error["correlationId"] == answered.headers["x-correlation-id"]
    assert says in error["message"]
    assert (await estate.admin.get("/mcp/servers")).json() == before.json()


async def test_a_body_beyond_a_mebibyte_is_refused(estate: Estate) -> None:
    for size in (1024 * 1024, 5 * 1024 * 1024):
        answered = await estate.owner.post("/mcp/servers", content=b" " * size + b"{}")
        assert answered.status_code == 400
        assert "MiB" in answered.json()["error"]["message"]


async def test_a_secret_in_a_wrong_entry_is_not_said_again(estate: Estate) -> None:
    entry = {"command": "/bin/true", "env": {"TOKEN": 5, "A b": "another-secret"}, "x": "a-secret"}
    answered = await estate.owner.post("/mcp/servers", json={"name": "sly", "entry": entry})
    assert answered.status_code == 400
    assert "a-secret" not in answered.text
    assert "another-secret" not in answered.text


async def test_a_name_that_is_taken_is_a_conflict(estate: Estate) -> None:
    for name in ("calm", "off"):
        body = {"name": name, "entry": {"command": "/bin/true"}}
        answered = await estate.owner.post("/mcp/servers", json=body)
        assert answered.status_code == 409
        assert answered.json()["error"]["code"] == "conflict"


async def test_what_is_not_there_is_not_found(estate: Estate) -> None:
    for method, path in (
        ("GET", "/none"),
        ("DELETE", "/none"),
        ("POST", "/none/start"),
        ("POST", "/none/stop"),
        ("POST", "/calm/accept"),
        ("POST", "/none/accept"),
        ("GET", "/%2e%2e"),
        ("GET", "/calm%00"),
    ):
        body = {"tool": "nothing", "digest": "0"}
        answered = await estate.owner.request(method, f"/mcp/servers{path}", json=body)
        assert answered.status_code == 404, path
        assert answered.json()["error"]["code"] == "not_found"


async def test_an_unset_variable_is_named_and_the_entry_can_be_replaced(
    estate: Estate, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = puppet(folder, env={"API_KEY": "${env:PUPPET_KEY_THAT_IS_NOT_SET}"})
    await estate.add("lacking", lacking)
    told = await estate.reached("lacking", "not_configured")
    assert "PUPPET_KEY_THAT_IS_NOT_SET" in told["reason"]
    again = await estate.owner.post("/mcp/servers", json={"name": "lacking", "entry": lacking})
    assert again.status_code == 409
    await estate.remove("lacking")
    await estate.add("lacking", puppet(folder, env={"API_KEY": "given"}))
    assert (await estate.reached("lacking", "running"))["tools"] == 9


async def test_what_lacked_a_setting_runs_when_it_is_set_and_the_server_started(
    estate: Estate, folder: Path
) -> None:
    key = folder / "key"
    await estate.add("waiting", puppet(folder, env={"API_KEY": f"${{file:{key}}}"}))
    told = await estate.reached("waiting", "not_configured")
    assert str(key) in told["reason"]
    assert "start the server" in told["reason"]
    key.write_text("a-key-from-a-file")
    await estate.act("waiting", "start")
    await estate.reached("waiting", "running")
    async with estate.client("/servers/waiting/mcp") as client:
        answered = await client.call_tool("env", {"name": "API_KEY"})
    assert answered.content[0].text == "it is [redacted] indeed"


async def test_a_remote_server_that_lacks_a_setting_says_so(estate: Estate) -> None:
    entry = {"url": "http://127.0.0.1:1/mcp", "headers": {"X-Key": "${env:NOT_SET_EITHER}"}}
    told = await estate.add("distant", entry)
    assert told["state"] == "not_configured"
    assert "NOT_SET_EITHER" in told["reason"]


def registered(**more: Any) -> dict[str, Any]:
    return {
        "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
        "name": "io.github.someone/weather",
        "description": "Tells the weather.",
        "version": "1.2.3",
        **more,
    }


async def test_a_server_json_is_imported_with_what_it_needs(estate: Estate) -> None:
    asks = [{"name": "WEATHER_KEY", "description": "A key.", "isRequired": True, "isSecret": True}]
    package = {
        "registryType": "npm",
        "identifier": "@someone/weather",
        "version": "1.2.3",
        "transport": {"type": "stdio"},
        "environmentVariables": asks,
    }
    told = registered(packages=[package])
    assert "WEATHER_KEY" not in os.environ
    answered = (await estate.owner.post("/mcp/servers", json={"server": told})).json()
    assert answered["name"] == "weather"
    assert answered["entry"]["command"] == "npx"
    assert answered["entry"]["args"] == ["-y", "@someone/weather@1.2.3"]
    assert answered["entry"]["env"] == ["WEATHER_KEY"]
    assert [need["variable"] for need in answered["needs"]] == ["WEATHER_KEY"]
    state = await estate.reached("weather", "not_configured")
    assert "WEATHER_KEY" in state["reason"]


async def test_a_server_json_may_be_given_another_name(estate: Estate) -> None:
    remotes = [{"type": "streamable-http", "url": "http://127.0.0.1:1/mcp"}]
    body = {"name": "rain", "server": registered(remotes=remotes)}
    answered = (await estate.owner.post("/mcp/servers", json=body)).json()
    assert answered["name"] == "rain"
    assert answered["entry"]["type"] == "http"
    assert (await estate.admin.get("/mcp/servers/weather")).status_code == 404
