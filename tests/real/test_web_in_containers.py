"""The browser in its container, on a real engine: all its walls, and nothing of the inside."""

import json
from collections.abc import Generator
from typing import Any

import pytest
from mcp import Client

from flotilla import meta
from tests.real.compose import PROJECT, Compose, composed

pytestmark = [pytest.mark.real, pytest.mark.anyio, pytest.mark.timeout(1500)]

STARTED = ("master", "redis", "postgres", "web-search", "web-browsing")
SITE = "site:8000"
"""A server in another container, of which an exception is made."""
SERVES = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8000)"


@pytest.fixture(scope="module")
def fleet() -> Generator[Compose]:
    settings = {"FLOTILLA_SERVICES": "web_search,web_browsing", "WEB_BROWSING_ALLOW_HOSTS": SITE}
    with composed(*STARTED, **settings) as fleet:
        site = ("--name", f"{PROJECT}-site", "--network", f"{PROJECT}_web-browsing-egress")
        run = ("run", "-d", "--rm", "--network-alias", "site", *site, "--workdir", "/app/config")
        fleet.docker.run(*run, "--entrypoint", "python", "flotilla/web-search:0.1.0", "-c", SERVES)
        try:
            yield fleet
        finally:
            fleet.docker.run("rm", "-f", f"{PROJECT}-site", check=False)


async def called(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(f"web_browse_{tool}", arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


LOOK = """
import json, pathlib
told = []
for each in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        lines = (each / "status").read_text().splitlines()
        words = (each / "cmdline").read_bytes().decode().replace(chr(0), " ")
    except OSError:
        continue
    try:
        links = (each / "net/dev").read_text().splitlines()[2:]
        devices = [line.split(":")[0].strip() for line in links]
    except OSError:
        devices = None
    status = dict(line.split(":", 1) for line in lines if ":" in line)
    told.append({
        "words": words,
        "devices": devices,
        "status": {key: value.split() for key, value in status.items()},
    })
print(json.dumps(told))
"""


async def test_chromium_has_its_own_sandbox_and_no_network_in_a_container_without_rights(
    fleet: Compose,
) -> None:
    async with fleet.client() as client:
        opened = await called(client, "openSession", url=f"http://{SITE}/")
        session = {"sessionId": opened["sessionId"]}
        assert opened["status"] == 200
        processes = json.loads(fleet.inside("web-browsing", "python", "-c", LOOK))
        seen = await called(client, "snapshot", **session)
        assert "services.yaml" in seen["snapshot"]
        picture = await called(client, "captureScreenshot", **session)
        assert picture["width"] > 0
        await called(client, "closeSession", **session)
    chromium = [each for each in processes if each["words"].startswith("/usr/lib/chromium/")]
    pages = [each for each in chromium if "--type=renderer" in each["words"]]
    (relay,) = [each for each in processes if "launcher.py" in each["words"]]
    (service,) = [each for each in processes if each["words"].startswith("python mcp_server.py")]
    assert pages
    assert not [each for each in chromium if "--no-sandbox" in each["words"]]
    for each in processes:
        status = each["status"]
        if status["State"][0] == "Z":
            continue
        assert status["Uid"] == ["10001"] * 4
        assert status["NoNewPrivs"] == ["1"]
        assert status["CapBnd"] == ["0" * 16] or each in chromium or each is relay
    for page in pages:
        # Under a filter of their own beside the container's, among processes of their own.
        assert page["status"]["Seccomp"] == ["2"]
        assert int(page["status"]["Seccomp_filters"][0]) > int(
            service["status"]["Seccomp_filters"][0]
        )
        assert len(page["status"]["NSpid"]) > len(service["status"]["NSpid"])
    # What the relay has, its children have: loopback of their own and nothing else.
    assert relay["devices"] == ["lo"]
    assert len(service["devices"]) >= 3
    logs = fleet.run("logs", "--no-color", "web-browsing")
    assert "browser_started" in logs
    assert "browser_without" not in logs


async def test_the_browsers_container_is_as_bounded_as_the_others(fleet: Compose) -> None:
    for service in ("web-browsing", "web-search"):
        host = fleet.inspected(service)["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert not host["CapAdd"]
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert not host["Privileged"]
        assert host["Memory"] > 0
        assert host["PidsLimit"] > 0
        assert "Read-only file system" in fleet.fails_inside(service, "touch", "/usr/anything")
        found = fleet.inside(service, "find", "/hub", "/passwords", "-type", "f")
        assert found == "/hub/public_key.pem"


async def test_nothing_of_the_inside_is_reached_by_a_page(fleet: Compose) -> None:
    inside = [
        "http://master:8000/health",
        f"http://{fleet.address('master', 'mcp-network')}:8000/health",
        f"http://{fleet.address('web-search', 'mcp-network')}:8080/",
        f"http://{fleet.address('redis', 'state')}:8080/",
        f"http://{fleet.address('postgres', 'state')}:8080/",
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:8080/",
        f"http://{fleet.address('web-browsing', 'web-browsing-egress')}:8080/",
    ]
    async with fleet.client() as client:
        opened = await called(client, "openSession", url=f"http://{SITE}/")
        for url in inside:
            for tool, more in (
                ("navigate", {"sessionId": opened["sessionId"]}),
                ("fetchPage", {}),
            ):
                result = await client.call_tool(f"web_browse_{tool}", {"url": url, **more})
                error = (result.meta or {}).get(meta.ERROR, {})
                reason = error.get("reason") or error.get("details", {}).get("reason")
                assert (error.get("code"), reason) in (
                    ("not_allowed", "private_address"),
                    ("not_allowed", "bad_port"),
                ), (tool, url, result.content)
        # The exception is of one host and port.
        fetched = await called(client, "fetchPage", url=f"http://{SITE}/")
        assert "services.yaml" in fetched["text"]
        await called(client, "closeSession", sessionId=opened["sessionId"])
