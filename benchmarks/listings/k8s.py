"""The first page of 5,000 pods through infra.k8s.listPods, against one request of the API server.

    python benchmarks/listings/k8s.py            # the emulator of the tests, in its own process
    python benchmarks/listings/k8s.py real       # kube-apiserver and etcd (tests/real/kube)

Both over TLS on loopback; the spoke's tool is called as its service calls it, with schemas and
redaction.
"""

import asyncio
import json
import ssl
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "08_k8s_mcp")]

import aiohttp  # noqa: E402 - the paths go first
import yaml  # noqa: E402

from benchmarks.listings.measure import first_page, whole_list  # noqa: E402
from flotilla import CommonSettings, Context, Deadline, Principal  # noqa: E402
from flotilla.redaction import Redactor  # noqa: E402
from flotilla.tls import TRUSTED  # noqa: E402
from flotilla.toolbox import Toolbox  # noqa: E402
from k8s import build  # noqa: E402
from k8s.settings import Settings  # noqa: E402
from tests.backends.kube.emulator import KubeEmulator  # noqa: E402
from tests.backends.kube.things import pod  # noqa: E402
from tests.backends.tls_server import TlsServer  # noqa: E402
from tests.real.kube.cluster import real_kube  # noqa: E402

PODS = 5000
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


async def serve(folder: Path) -> None:
    """The API server's process: says its URL, and ends when its standard input does."""
    kube = KubeEmulator()
    for n in range(PODS):
        kube.put("Pod", pod(f"web-{n:04}", f"team-{n % 50:02}"))
    server = TlsServer(kube.application, folder)
    async with server.running():
        print(server.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def measure(url: str, trusted: Path, folder: Path) -> None:
    (folder / "token").write_text("admin-token")
    account = {"server": url, "ca_file": str(trusted), "token": str(folder / "token")}
    file = folder / "k8s.yaml"
    file.write_text(yaml.safe_dump({"clusters": {"main": account}}))
    common = CommonSettings(data_dir=folder / "data")
    spoke = build(Settings(config=file, kubeconfig="none"), common, env={})
    toolbox = Toolbox(spoke.tools, Redactor())

    async def page(limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
        arguments: dict[str, Any] = {"allNamespaces": True, "limit": limit}
        arguments |= {"cursor": cursor} if cursor else {}
        context = Context(
            principal=Principal("bench"), correlation_id="bench", deadline=Deadline.after(60)
        )
        result = await toolbox.call("infra.k8s.listPods", arguments, context)
        assert not result["isError"], result
        return result["structuredContent"]

    async def pages() -> int:
        found, cursor = 0, None
        while True:
            told = await page(500, cursor)
            found += told["returned"]
            cursor = told.get("nextCursor")
            if cursor is None:
                return found

    headers = {"Authorization": "Bearer admin-token", "Accept": TABLE}
    async with spoke.lifespan(), session_to(trusted) as plain:

        async def upstream() -> Any:
            asked = f"{url}/api/v1/pods?limit=50&includeObject=Metadata"
            async with plain.get(asked, headers=headers) as answer:
                return json.loads(await answer.read())

        await first_page(f"{PODS} pods", page, upstream)
        await whole_list(f"{PODS} pods, pages as large as fit", pages)


def session_to(trusted: Path) -> aiohttp.ClientSession:
    context = ssl.create_default_context(cafile=str(trusted))
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))


def with_real_server() -> None:
    """Puts as many pods into a real API server, which takes a minute."""
    with tempfile.TemporaryDirectory() as name, real_kube(Path(name)) as kube:
        container = {"name": "app", "image": "registry.test/app:1.2"}
        for n in range(50):
            kube.ask("POST", "/api/v1/namespaces", {"metadata": {"name": f"team-{n:02}"}})

        def put(n: int) -> None:
            path = f"/api/v1/namespaces/team-{n % 50:02}/pods"
            body = {"metadata": {"name": f"web-{n:04}"}, "spec": {"containers": [container]}}
            kube.ask("POST", path, body)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(put, range(PODS)))
        asyncio.run(measure(kube.url, kube.trusted, Path(name)))


def main() -> None:
    if sys.argv[1:] == ["real"]:
        with_real_server()
        return
    if len(sys.argv) == 3 and sys.argv[1] == "serve":
        asyncio.run(serve(Path(sys.argv[2])))
        return
    with tempfile.TemporaryDirectory() as name:
        server = subprocess.Popen(
            [sys.executable, __file__, "serve", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None and server.stdin is not None
            url = server.stdout.readline().strip()
            asyncio.run(measure(url, Path(name) / "client" / TRUSTED, Path(name)))
            server.stdin.close()
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
