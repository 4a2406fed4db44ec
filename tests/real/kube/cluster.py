"""A real etcd, kube-apiserver and controller manager on loopback, with users and RBAC.

There is no kubelet: pods are made by controllers and stay Pending. Built by build.sh beside this.
"""

import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from flotilla.certificates import make_certificates
from flotilla.tls import CERTIFICATE, KEY, TRUSTED
from tests.ports import find_free_port

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = ROOT / "build" / "kube" / "bin"
START_S = 60.0
ADMIN, READER = "admin-token", "reader-token"
USERS = f'{ADMIN},admin,1,"system:masters"\n{READER},reader,2\n'


@dataclass
class RealKube:
    """`url` with `trusted` as its authority; bearer tokens ADMIN (may do all) and READER (may
    read what is no secret)."""

    url: str
    trusted: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list[Any])

    def ask(self, method: str, path: str, body: Any = None, token: str = ADMIN) -> Any:
        """A plain request, apart from the code that is tested."""
        raw = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = Request(f"{self.url}{path}", raw, headers, method=method)
        with urlopen(
            request, timeout=10, context=ssl.create_default_context(cafile=str(self.trusted))
        ) as answer:
            return json.loads(answer.read())

    def has(self, path: str) -> bool:
        """Whether there is something at the path; what is being deleted still is."""
        try:
            self.ask("GET", path)
        except HTTPError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            return False
        return True

    def is_ready(self) -> bool:
        try:
            self.ask("GET", "/api/v1/namespaces/default")
        except (URLError, OSError):
            return False
        return True


@contextmanager
def real_kube(folder: Path) -> Generator[RealKube]:
    """One that is ready, and leaves nothing; skips where the programs have not been built."""
    etcd = shutil.which("etcd")
    if etcd is None or not (PROGRAMS / "kube-apiserver").exists():
        pytest.skip("no kube-apiserver; tests/real/kube/build.sh build/kube makes it (8 minutes)")
    make_certificates(folder / "tls", "client", ["server"], names=["127.0.0.1", "localhost"])
    own = folder / "tls" / "server"
    _signing_key(folder / "sa.key")
    (folder / "users.csv").write_text(USERS)
    port, store, peers, controllers = (find_free_port() for _ in range(4))
    kube = RealKube(f"https://127.0.0.1:{port}", folder / "tls" / "client" / TRUSTED)
    (folder / "kubeconfig").write_text(yaml.safe_dump(_kubeconfig(kube, ADMIN)))
    commands = (
        (
            *(etcd, "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync"),
            *("--listen-client-urls", f"http://127.0.0.1:{store}"),
            *("--advertise-client-urls", f"http://127.0.0.1:{store}"),
            *("--listen-peer-urls", f"http://127.0.0.1:{peers}"),
        ),
        (
            *(str(PROGRAMS / "kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{store}"),
            *("--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"),
            *(f"--secure-port={port}", f"--tls-cert-file={own / CERTIFICATE}"),
            *(f"--tls-private-key-file={own / KEY}", f"--token-auth-file={folder / 'users.csv'}"),
            *("--authorization-mode=RBAC", f"--service-account-key-file={folder / 'sa.key'}"),
            f"--service-account-signing-key-file={folder / 'sa.key'}",
            "--service-account-issuer=https://kubernetes.default",
            *("--service-cluster-ip-range=10.96.0.0/24", "--endpoint-reconciler-type=none"),
            "--disable-admission-plugins=ServiceAccount",
        ),
        (
            *(str(PROGRAMS / "kube-controller-manager"), "--leader-elect=false"),
            *(f"--kubeconfig={folder / 'kubeconfig'}", "--controllers=deployment,replicaset,"
              "garbagecollector,namespace,statefulset,daemonset,disruption"),
            *("--port=0", f"--secure-port={controllers}", "--bind-address=127.0.0.1"),
            f"--cert-dir={folder / 'controllers'}",
        ),
    )  # fmt: skip
    try:
        for command in commands[:2]:
            kube.processes.append(_started(command, folder))
        _wait_for(kube, folder)
        kube.processes.append(_started(commands[2], folder))
        _let_reader_view(kube)
        _wait_for_port(controllers, kube.processes[2], folder)
        yield kube
    finally:
        for process in reversed(kube.processes):
            process.terminate()
        for process in kube.processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _started(command: tuple[str, ...], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / f"{Path(command[0]).name}.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def _wait_for(kube: RealKube, folder: Path) -> None:
    give_up_at = monotonic() + START_S
    while not kube.is_ready():
        ended = [each for each in kube.processes if each.poll() is not None]
        if ended or monotonic() > give_up_at:
            told = (folder / "kube-apiserver.log").read_text(errors="replace")[-3000:]
            raise AssertionError(f"the API server does not start:\n{told}")
        sleep(0.1)


def _wait_for_port(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    """The controllers listen a little before they control."""
    give_up_at = monotonic() + START_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or monotonic() > give_up_at:
            told = (folder / "kube-controller-manager.log").read_text(errors="replace")[-3000:]
            raise AssertionError(f"the controllers do not start:\n{told}")
        sleep(0.1)


def _let_reader_view(kube: RealKube) -> None:
    group = "rbac.authorization.k8s.io"
    resources = [
        "pods", "pods/log", "nodes", "namespaces", "events", "deployments", "replicasets",
        "configmaps",
    ]  # fmt: skip
    rule = {"apiGroups": ["", "apps"], "resources": resources, "verbs": ["get", "list", "watch"]}
    role = {"metadata": {"name": "reading"}, "rules": [rule]}
    kube.ask("POST", f"/apis/{group}/v1/clusterroles", role)
    binding = {
        "metadata": {"name": "reading"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "reading"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "reader"}],
    }
    kube.ask("POST", f"/apis/{group}/v1/clusterrolebindings", binding)


def _signing_key(file: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    file.write_bytes(pem)


def _kubeconfig(kube: RealKube, token: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "real",
        "clusters": [
            {
                "name": "real",
                "cluster": {"server": kube.url, "certificate-authority": str(kube.trusted)},
            }
        ],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "real", "context": {"cluster": "real", "user": "admin"}}],
    }
