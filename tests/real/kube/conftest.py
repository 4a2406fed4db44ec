"""The hub with the Kubernetes spoke before a real API server."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cmdb import build as build_cmdb
from cmdb.settings import Settings as CmdbSettings
from flotilla import CommonSettings
from k8s import build
from k8s.settings import Settings
from tests.backends.kube.fleet import KubeClient
from tests.real.kube.cluster import ADMIN, READER, RealKube, real_kube


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Of the session, so that one server and one hub serve all tests."""
    return "asyncio"


@pytest.fixture(scope="session")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Generator[RealKube]:
    with real_kube(tmp_path_factory.mktemp("kube")) as running:
        yield running


@pytest.fixture(scope="session")
async def k8s(
    kube: RealKube, start_fleet_in: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[KubeClient]:
    """Clusters `main` (an admin) and `reader` (a user of RBAC) of the one server; a CMDB beside."""
    folder = tmp_path_factory.mktemp("hub")
    common = CommonSettings(data_dir=folder / "data")
    spoke = build(Settings(config=clusters_in(folder, kube), kubeconfig="none"), common, env={})
    cmdb = build_cmdb(CmdbSettings(database_url=f"sqlite:///{folder}/cmdb.sqlite3"), common)
    async with (
        start_fleet_in(folder, [spoke, cmdb], approvals="off") as hub,
        hub.client() as client,
    ):
        yield KubeClient(client)


def clusters_in(folder: Path, kube: RealKube) -> Path:
    """A k8s.yaml with both users of the server."""
    clusters: dict[str, Any] = {}
    for alias, token in (("main", ADMIN), ("reader", READER)):
        (folder / f"{alias}.token").write_text(token)
        clusters[alias] = {
            "server": kube.url,
            "ca_file": str(kube.trusted),
            "token": str(folder / f"{alias}.token"),
        }
    file = folder / "k8s.yaml"
    file.write_text(yaml.safe_dump({"clusters": clusters}))
    return file
