"""Two simulated vCenters and a real API server, and the files that name them to the spokes."""

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.backends.vcsim_server import Vcsim, vcsim
from tests.real.kube.cluster import RealKube, real_kube

APPS = "/apis/apps/v1/namespaces/default/deployments"


@pytest.fixture(scope="module")
def vcenters(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, Vcsim]]:
    """Two that have the same inventory by the same names."""
    with vcsim(tmp_path_factory.mktemp("lab")) as lab, vcsim(tmp_path_factory.mktemp("far")) as far:
        yield {"lab": lab, "far": far}


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Generator[RealKube]:
    with real_kube(tmp_path_factory.mktemp("kube")) as running:
        yield running


def deployment(name: str, image: str = "shop:1") -> dict[str, Any]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": dict(labels)},
            "template": {
                "metadata": {"labels": dict(labels)},
                "spec": {"containers": [{"name": "app", "image": image}]},
            },
        },
    }


def configured(
    folder: Path, vcenters: Mapping[str, Vcsim], kube: RealKube, password: str, token: str
) -> tuple[Path, Path]:
    """A vmware.yaml and a k8s.yaml."""
    config, clusters = folder / "vmware.yaml", folder / "k8s.yaml"
    entries = {alias: each.entry(password) for alias, each in vcenters.items()}
    config.write_text(yaml.safe_dump({"vcenters": entries}))
    main = {"server": kube.url, "ca_file": str(kube.trusted), "token": token}
    clusters.write_text(yaml.safe_dump({"clusters": {"main": main}}))
    return config, clusters
