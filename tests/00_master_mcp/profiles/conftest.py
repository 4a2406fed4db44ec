"""A hub with profiles before a spoke of ours and two strangers, started once a module."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from flotilla import Model, Spoke, destroys, reads, writes
from tests.conftest import plain_http, until
from tests.everything import Era, Serving, serving

PROFILES = """
profiles:
  search: {description: Everything by searching., mode: search, pinned: [test.store.listBoxes]}
  store: {include: ["test.store.*"], pinned: [test.store.wipe]}
  dots: {naming: dotted, include: ["test.store.*", "ext.modern.*"]}
  reading: {read_only: true, include: ["*", ext.modern.echo]}
  strangers: {mode: search, include: ["ext.*"]}
"""


class Boxes(Model):
    names: list[str]


class Counted(Model):
    text: str


class Store:
    """A spoke that reads, writes and destroys."""

    async def list_boxes(self, shelf: str = "") -> Boxes:
        """List the boxes in the store, by the shelf that they stand on."""
        return Boxes(names=[f"box on {shelf}"])

    async def put_box(self, name: str) -> Boxes:
        """Put a box into the store."""
        return Boxes(names=[name])

    async def count(self, number: int) -> Counted:
        """Count up to a number of any size."""
        return Counted(text=str(number))

    async def wipe(self) -> Boxes:
        """Throw every box in the store away."""
        return Boxes(names=[])

    def spoke(self) -> Spoke:
        return Spoke(
            name="store",
            version="1",
            instructions="Boxes.",
            namespaces=("test.store",),
            tools=(
                reads("test.store.listBoxes", self.list_boxes, title="List boxes"),
                writes("test.store.putBox", self.put_box),
                reads("test.store.count", self.count),
                destroys("test.store.wipe", self.wipe),
            ),
        )


@dataclass(frozen=True)
class Hub:
    """`fleet` is the hub's; `modern` and `handshake` are external servers behind it."""

    fleet: Any
    modern: Serving
    handshake: Serving

    def client(self, path: str, mode: str = "2026-07-28", **more: Any) -> Any:
        return self.fleet.client(path, mode=mode, **more)


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    # The event loop of the hub's own process.
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="module")
async def hub(
    anyio_backend: Any, start_fleet_in: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Hub]:
    folder: Path = tmp_path_factory.mktemp("profiles")
    config = folder / "config"
    config.mkdir()
    (config / "profiles.yaml").write_text(PROFILES, encoding="utf-8")
    async with (
        serving("streamable-http", Era.MODERN) as modern,
        serving("streamable-http", Era.HANDSHAKE) as handshake,
    ):
        external = {
            name: {"type": "http", "url": served.url, "timeoutS": 20}
            for name, served in (("modern", modern), ("handshake", handshake))
        }
        async with (
            start_fleet_in(
                folder, [Store().spoke()], external=external, config_dir=config
            ) as fleet,
            httpx2.AsyncClient(verify=plain_http()) as http,
        ):

            async def connected() -> bool:
                told = (await http.get(f"{fleet.url}/metrics")).text
                return all(
                    f'mcp_service_health{{service="{name}"}} 1.0' in told for name in external
                )

            await until(connected, within_s=30)
            yield Hub(fleet, modern, handshake)
