"""The Kubernetes spoke behind a real hub, with the emulator of an API server over TLS."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from flotilla import CommonSettings, Spoke
from k8s import build
from k8s.settings import Settings
from tests.backends.kube.emulator import KubeEmulator
from tests.backends.kube.fleet import KubeFleet
from tests.backends.tls_server import TlsServer


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Of the module, so that one fleet can serve all its tests."""
    return "asyncio"


def kube_spoke(folder: Path, server: TlsServer, settings: Mapping[str, Any] | None = None) -> Spoke:
    """The spoke with both clusters in a k8s.yaml of `folder`."""
    for name in ("admin", "reader"):
        (folder / f"{name}.token").write_text(f"{name}-token\n")
    common = {"server": server.url, "ca_file": str(server.trusted)}
    clusters = {
        "main": {**common, "token": str(folder / "admin.token")},
        "reader": {**common, "token": str(folder / "reader.token")},
    }
    file = folder / "k8s.yaml"
    file.write_text(yaml.safe_dump({"clusters": clusters}))
    wanted = Settings(config=file, kubeconfig="none", **(settings or {}))
    return build(wanted, CommonSettings(data_dir=folder / "data"), env={})


StartKube = Callable[..., AbstractAsyncContextManager[KubeFleet]]


@pytest.fixture
def start_kube(start_fleet: Any, tmp_path: Path) -> StartKube:
    """`start_kube(kube, settings={...}, beside=[...], **fleet)`: approvals are off unless asked
    for."""

    @asynccontextmanager
    async def started(
        kube: KubeEmulator | None = None,
        settings: Mapping[str, Any] | None = None,
        beside: Sequence[Spoke] = (),
        **fleet: Any,
    ) -> AsyncGenerator[KubeFleet]:
        emulator = kube or KubeEmulator()
        server = TlsServer(emulator.application, tmp_path / "tls")
        async with server.running():
            spoke = kube_spoke(tmp_path, server, settings)
            async with (
                start_fleet([spoke, *beside], **{"approvals": "off", **fleet}) as hub,
                hub.client() as client,
            ):
                yield KubeFleet(client, emulator, server)

    return started


@pytest.fixture(scope="module")
async def one_kube(
    start_fleet_in: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[KubeFleet]:
    folder = tmp_path_factory.mktemp("kube")
    emulator = KubeEmulator()
    server = TlsServer(emulator.application, folder / "tls")
    async with server.running():
        spoke = kube_spoke(folder, server)
        async with (
            start_fleet_in(folder, [spoke], approvals="off") as hub,
            hub.client() as client,
        ):
            yield KubeFleet(client, emulator, server)


@pytest.fixture
async def k8s(one_kube: KubeFleet) -> KubeFleet:
    """The fleet that the tests of a module share, with a cluster that is empty and healthy."""
    one_kube.kube.forget()
    one_kube.server.faults.clear()
    one_kube.server.asked.clear()
    return one_kube
