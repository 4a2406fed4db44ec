"""20,000 resources of Azure: the first page through the spoke against one request of the provider.

    python benchmarks/listings/azure.py

The pretended Azure runs in a process of its own, so that only the spoke's time and memory count.
"""

import asyncio
import json
import ssl
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# Not this folder, which Python puts first: in it this file goes by the name of the SDK.
sys.path[:] = [str(ROOT), str(ROOT / "03_azure_mcp"), *sys.path[1:]]

import aiohttp  # noqa: E402
import yaml  # noqa: E402

from azure_cloud import build  # noqa: E402
from azure_cloud.settings import Settings  # noqa: E402
from benchmarks.listings.measure import first_page, whole_list  # noqa: E402
from flotilla import CommonSettings, Context, Deadline, Principal  # noqa: E402
from flotilla.redaction import Redactor  # noqa: E402
from flotilla.toolbox import Toolbox  # noqa: E402
from tests.backends.azure.arm_server import application_of  # noqa: E402
from tests.backends.azure.estate import (  # noqa: E402
    CLIENT,
    CLIENT_SECRET,
    SUBSCRIPTION,
    TENANT,
    Estate,
)
from tests.backends.tls_server import TlsServer  # noqa: E402

RESOURCES = 20_000
GROUPS = 50
TOKEN = "benchmark-token"
KINDS = (
    "Microsoft.Compute/disks",
    "Microsoft.Storage/storageAccounts",
    "Microsoft.Network/networkInterfaces",
    "Microsoft.Web/sites",
)
GRAPH = "resources | project id, name, type, location, tags | order by id asc"

Call = Callable[..., Awaitable[dict[str, Any]]]


def filled() -> Estate:
    estate = Estate(page=1000)
    estate.tokens.add(TOKEN)
    for group in range(GROUPS):
        estate.group(f"group-{group:02}", owner=f"team-{group % 7}")
    for number in range(RESOURCES):
        tags = {"owner": f"team-{number % 7}", "environment": "production", "cost": f"{number}"}
        kind, group = KINDS[number % len(KINDS)], f"group-{number % GROUPS:02}"
        estate.resource(group, kind, f"resource-{number:05}", tags=tags)
    return estate


async def serve(folder: Path) -> None:
    """Serve until the standard input ends."""
    server = TlsServer(application_of(filled()), folder)
    async with server.running():
        print(json.dumps({"url": server.url, "trusted": str(server.trusted)}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


@asynccontextmanager
async def azure(folder: Path) -> AsyncGenerator[tuple[str, str]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, "--serve", str(folder)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    told = json.loads(await process.stdout.readline())
    try:
        yield told["url"], told["trusted"]
    finally:
        await process.communicate()


@asynccontextmanager
async def spoke(folder: Path, url: str, trusted: str) -> AsyncGenerator[Call]:
    (folder / "secret").write_text(CLIENT_SECRET)
    account = {
        "tenant": TENANT,
        "client_id": CLIENT,
        "client_secret": str(folder / "secret"),
        "authority": url,
        "resource_manager": url,
        "ca_file": trusted,
        "subscription": SUBSCRIPTION,
    }
    config = folder / "azure.yaml"
    config.write_text(yaml.safe_dump({"accounts": {"main": account}}))
    built = build(Settings(config=config), CommonSettings(data_dir=folder))
    toolbox = Toolbox(built.tools, Redactor())

    async def call(tool: str, **arguments: Any) -> dict[str, Any]:
        context = Context(
            principal=Principal("benchmark"), correlation_id="b", deadline=Deadline.after(60)
        )
        result = await toolbox.call(f"cloud.azure.{tool}", arguments, context)
        assert not result["isError"], result["content"]
        return result["structuredContent"]

    async with built.lifespan():
        yield call


async def measure(call: Call, url: str, trusted: str) -> None:
    context = ssl.create_default_context(cafile=trusted)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as plain:

        async def resources() -> int:
            path = f"{url}/subscriptions/{SUBSCRIPTION}/resources?api-version=2021-04-01&$top=50"
            async with plain.get(path) as response:
                assert response.status == 200
                return len(await response.read())

        async def graph() -> int:
            body = {"subscriptions": [SUBSCRIPTION], "query": GRAPH, "options": {"$top": 50}}
            path = f"{url}/providers/Microsoft.ResourceGraph/resources?api-version=2021-03-01"
            async with plain.post(path, json=body) as response:
                assert response.status == 200
                return len(await response.read())

        async def pages(tool: str, rows: str, **arguments: Any) -> int:
            found, cursor = 0, {}
            while True:
                page = await call(tool, **arguments, **cursor)
                assert len(json.dumps(page)) <= 48 * 1024
                found += len(page[rows])
                if "nextCursor" not in page:
                    return found
                cursor = {"cursor": page["nextCursor"]}

        await first_page("azure listResources", lambda: call("listResources"), resources)
        await first_page("azure queryResources", lambda: call("queryResources", query=GRAPH), graph)
        await whole_list("azure listResources", lambda: pages("listResources", "items", limit=500))


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="flotilla-azure-") as name:
        folder = Path(name)
        async with azure(folder / "azure") as (url, trusted), spoke(folder, url, trusted) as call:
            await measure(call, url, trusted)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(serve(Path(sys.argv[2])))
    else:
        asyncio.run(main())
