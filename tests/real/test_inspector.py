"""The Inspector, a client that nobody here wrote, operates the fleet in each era."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.timeout(600)]

INSPECTOR = "2.12.0"
NODE = "24.21.0"
"""The Inspector needs Node 22.19 or newer; npm's own `node` package brings one."""
HOME = Path(__file__).resolve().parents[2] / "build" / f"inspector-{INSPECTOR}"
LAUNCHER = HOME / "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"

WAYS = {
    "handshake": ("http", "/mcp", "legacy"),
    "modern": ("http", "/mcp", "modern"),
    "sse": ("sse", "/sse", "legacy"),
}


@pytest.fixture(scope="module")
def inspector() -> Path:
    """The Inspector's launcher, installed by npm into build/ when it is not there yet."""
    if LAUNCHER.exists():
        return LAUNCHER
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed, so there is no Inspector")
    HOME.mkdir(parents=True, exist_ok=True)
    packages = [f"@modelcontextprotocol/inspector@{INSPECTOR}", f"node@{NODE}"]
    installed = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--prefix", str(HOME), *packages],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    if installed.returncode or not LAUNCHER.exists():
        pytest.skip(f"npm cannot install the Inspector: {installed.stderr.strip()[-300:]}")
    return LAUNCHER


@pytest.mark.parametrize("way", WAYS)
async def test_the_inspector_operates_the_fleet(inspector, launch_fleet, way) -> None:
    transport, path, era = WAYS[way]
    async with launch_fleet() as fleet:

        async def ask(method: str, *more: str, exit_code: int = 0) -> Any:
            process = await asyncio.create_subprocess_exec(
                str(HOME / "node_modules/.bin/node"),
                str(inspector),
                "--cli",
                fleet.url + path,
                *("--transport", transport, "--protocol-era", era),
                *("--method", method, "--format", "json"),
                *("--header", f"Authorization: {fleet.headers['Authorization']}"),
                *more,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await asyncio.wait_for(process.communicate(), 60)
            assert process.returncode == exit_code, err.decode() + out.decode()
            return json.loads(out)["result"] if out.strip() else None

        async def call(tool: str, **arguments: Any) -> Any:
            pairs = [f"{key}={_written(value)}" for key, value in arguments.items()]
            more = ["--tool-arg", *pairs] if pairs else []
            result = await ask("tools/call", "--tool-name", tool, *more)
            return result["structuredContent"]

        listed = await ask("tools/list", "--strict")
        names = [tool["name"] for tool in listed["tools"]]
        assert "os_linux_getSystemInfo" in names
        assert await call("os_linux_getSystemInfo")
        server = await call("data_cmdb_createItem", ciClass="server", name="rack", attributes={})
        shop = await call("data_cmdb_createItem", ciClass="application", name="shop", attributes={})
        await call(
            "data_cmdb_createRelation",
            sourceId=shop["id"],
            type="runs_on",
            targetId=server["id"],
        )
        impact = await call("data_cmdb_analyzeImpact", id=server["id"], direction="downstream")
        assert shop["id"] in json.dumps(impact)
        # Exit code 5: the tool answered with an error.
        await ask("tools/call", "--tool-name", "os_linux_runCommand", exit_code=5)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
