"""Who may browse where, by rules of the operator's, in the fleet as it starts."""

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from mcp import Client

from flotilla import meta
from tests.conftest import ROOT, LaunchedFleet, Reachable
from tests.real.test_web_in_clients import WEB, flotilla
from tests.real.test_web_in_clients import site as site

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.timeout(600)]

READERS = """
@id("harbour-readers")
@role("reader")
permit (principal in Role::"reader", action == Action::"call", resource)
when {
  resource in
    [Tool::"web.browse.fetchPage", Tool::"web.browse.openSession", Tool::"web.browse.navigate"]
}
when { context.target has site && context.target.site == "127.0.0.1" };
"""


async def test_rules_say_who_may_browse_and_where(site, launch_fleet, tmp_path) -> None:
    config = tmp_path / "config"
    shutil.copytree(ROOT / "config", config)
    (config / "policy" / "ours.cedar").write_text(READERS)
    port = site.url.rpartition(":")[2]
    elsewhere = f"http://localhost:{port}"
    async with launch_fleet(
        **WEB,
        FLOTILLA_CONFIG_DIR=str(config),
        WEB_BROWSING_ALLOW_HOSTS=f"{site.host},localhost:{port}",
    ) as fleet:
        async with _as(fleet, "viewer", tmp_path) as viewer:
            assert "fetchPage" in await _may_call(viewer)
            assert "click" not in await _may_call(viewer)
            for tool in ("click", "openSession", "submitForm"):
                assert await _refused(viewer, tool, sessionId="x")
            assert not await _refused(viewer, "fetchPage", url=f"{elsewhere}/berths")
        async with _as(fleet, "reader", tmp_path) as reader:
            assert await _may_call(reader) == {"fetchPage", "navigate", "openSession"}
            result = await reader.call_tool("web_browse_openSession", {"url": f"{site.url}/"})
            session = {"sessionId": result.structured_content["sessionId"]}
            site.asked.clear()
            for tool in ("fetchPage", "openSession"):
                assert await _refused(reader, tool, url=f"{elsewhere}/log")
            assert await _refused(reader, "openSession")
            assert await _refused(reader, "navigate", **session, url=f"{elsewhere}/log")
            # The host's name decides, however the URL is written.
            for url in (f"{elsewhere}/log?127.0.0.1", f"http://127.0.0.1@localhost:{port}/log"):
                assert await _refused(reader, "navigate", **session, url=url)
            # Browsers ask for an icon when they please.
            assert set(site.asked) <= {"/favicon.ico"}
            assert not await _refused(reader, "navigate", **session, url=f"{site.url}/log")
            assert not await _refused(reader, "fetchPage", url=f"{site.url}/berths")


@dataclass
class Somebody(Reachable):
    """The fleet for who has another token."""

    fleet: LaunchedFleet
    token: Path

    @property
    def url(self) -> str:
        return self.fleet.url

    @property
    def token_file(self) -> Path:
        return self.token


@asynccontextmanager
async def _as(fleet: LaunchedFleet, role: str, folder: Path) -> AsyncGenerator[Client]:
    somebody = Somebody(fleet, folder / f"{role}_token")
    made = ("--role", role, "--out", str(somebody.token_file))
    await flotilla(fleet, "tokens", "make", f"a-{role}", *made)
    async with somebody.client() as client:
        yield client


async def _may_call(client: Client) -> set[str]:
    prefix = "web_browse_"
    names = [each.name for each in (await client.list_tools()).tools]
    return {each.removeprefix(prefix) for each in names if each.startswith(prefix)}


async def _refused(client: Client, tool: str, **arguments: str) -> bool:
    """Whether a rule refused it; any other error fails."""
    result = await client.call_tool(f"web_browse_{tool}", arguments)
    code = (result.meta or {}).get(meta.ERROR, {}).get("code")
    assert code in (None, "not_allowed"), result.content
    return code == "not_allowed"
