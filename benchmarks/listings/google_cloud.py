"""The first page of 10,000 instances through listInstances, against one request of Compute.

    python benchmarks/listings/google_cloud.py

The faithful server of the tests stands in for Google, over TLS, in a thread of its own.
"""

import asyncio
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "04_google_cloud_mcp"), str(Path(__file__).parent)]

import requests  # noqa: E402
from measure import first_page, whole_list  # noqa: E402

from flotilla import CommonSettings, Context, Deadline, Principal  # noqa: E402
from flotilla.redaction import Redactor  # noqa: E402
from flotilla.toolbox import Toolbox  # noqa: E402
from google_cloud import build  # noqa: E402
from google_cloud.instance_shapes import SUMMARY_FIELDS  # noqa: E402
from google_cloud.settings import Settings  # noqa: E402
from tests.backends.google import GoogleServer  # noqa: E402

PROJECT = "acme-prod"
COUNT = 10_000


@contextmanager
def served(google: GoogleServer) -> Iterator[None]:
    ready, done = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with google.running():
            ready.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


async def measured(google: GoogleServer, folder: Path) -> None:
    file = folder / "google_cloud.yaml"
    account = dict(google.account(str(folder / "key.json")))
    import yaml

    file.write_text(yaml.safe_dump({"accounts": {"default": account}}))
    spoke = build(Settings(config=file), CommonSettings(data_dir=folder, config_dir=folder))
    toolbox = Toolbox(spoke.tools, Redactor())

    async def page(**asked: Any) -> Any:
        context = Context(
            principal=Principal("bench"), correlation_id="bench", deadline=Deadline.after(60)
        )
        result = await toolbox.call("cloud.gcp.listInstances", asked, context)
        assert not result["isError"], result
        return result["structuredContent"]

    async with spoke.lifespan():
        await page()
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {next(iter(google.world.tokens))}"
        trusted = str(google.tls.trusted)
        address = f"{google.url}/compute/v1/projects/{PROJECT}/aggregated/instances"

        def ask(limit: int, fields: str | None) -> None:
            asked = {"maxResults": str(limit), **({"fields": fields} if fields else {})}
            answer = session.get(address, params=asked, timeout=60, verify=trusted)
            assert answer.json()["items"]

        mask = f"items/*(instances({SUMMARY_FIELDS}),warning/code),nextPageToken,unreachables"
        for limit in (50, 500):
            await first_page(
                f"{COUNT} instances, limit {limit}",
                lambda limit=limit: page(limit=limit),
                lambda limit=limit: asyncio.to_thread(ask, limit, mask),
            )
        await first_page(
            f"{COUNT} instances, limit 50, against a request for all fields",
            lambda: page(limit=50),
            lambda: asyncio.to_thread(ask, 50, None),
        )

        async def all_pages() -> int:
            count, cursor = 0, None
            while True:
                found = await page(limit=500, cursor=cursor)
                count += found["returned"]
                cursor = found.get("nextCursor")
                if cursor is None:
                    return count

        await whole_list(f"{COUNT} instances", all_pages)
        session.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        google = GoogleServer(folder)
        (folder / "key.json").write_text(google.world.service_account("robot", [PROJECT]))
        for number in range(COUNT):
            zone = google.world.zones[number % len(google.world.zones)]
            google.world.instance(PROJECT, zone, f"web-{number:05}")
        with served(google):
            asyncio.run(measured(google, folder))


if __name__ == "__main__":
    main()
