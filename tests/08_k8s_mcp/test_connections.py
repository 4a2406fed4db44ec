"""How clusters are reached: kubeconfigs, tokens that change, plugins, and who is never trusted."""

from __future__ import annotations

import base64
import json
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from flotilla.accounts import Accounts
from flotilla.context import Deadline
from flotilla.credentials import Credentials
from flotilla.errors import FlotillaError, NotConfigured, TimedOut, Unavailable
from flotilla.settings import Misconfigured
from k8s.access import Access, judged, without_user
from k8s.clusters import IN_CLUSTER, ClusterAccount, Clusters, found_accounts
from k8s.exec_plugin import FromPlugin, Plugin
from k8s.kinds import PODS
from k8s.kubeconfig import Kubeconfig, named_files
from k8s.link import environment_proxy
from tests.backends.kube.emulator import KubeEmulator
from tests.backends.tls_server import TlsServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio

CANARY = "canary-token-5f4e3d2c"
NODES = "/api/v1/nodes"


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[TlsServer]:
    kube = KubeEmulator()
    kube.users.tokens = {"first": "admin", "second": "admin", CANARY: "admin"}
    running = TlsServer(kube.application, tmp_path_factory.mktemp("tls"))
    async with running.running():
        yield running


def soon() -> Deadline:
    return Deadline.after(10)


def kubeconfig(
    folder: Path, server: str, user: dict[str, Any], *, name: str = "config", **cluster: Any
) -> Path:
    """A kubeconfig with one context of that name."""
    file = folder / f"{name}.yaml"
    told = {
        "current-context": name,
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": name, "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
    }
    file.write_text(yaml.safe_dump(told))
    return file


def clusters_of(*files: Path, **more: Any) -> Clusters:
    accounts, current = found_accounts(Path("/nonexistent/k8s.yaml"), files, {})
    return Clusters(accounts, Credentials(), current=current, **more)


async def nodes(clusters: Clusters, alias: str | None = None) -> Any:
    cluster = await clusters.client(alias)
    return await cluster.request("GET", NODES, due=soon())


async def test_a_context_of_a_kubeconfig_is_a_cluster_with_its_authority_and_namespace(
    server: TlsServer, tmp_path: Path
) -> None:
    pem = base64.b64encode(server.trusted.read_bytes()).decode()
    file = kubeconfig(
        tmp_path, server.url, {"token": "first"}, **{"certificate-authority-data": pem}
    )
    clusters = clusters_of(file)
    async with clusters.open():
        assert (await nodes(clusters))["kind"] == "NodeList"
        assert (await clusters.client()).namespace == "shop"
    (known,) = clusters.known()
    assert (known.cluster, known.source, known.current) == ("config", "kubeconfig", True)


async def test_files_are_merged_and_the_first_that_says_something_is_right(tmp_path: Path) -> None:
    first = kubeconfig(tmp_path, "https://one.test", {"token": "t"}, name="one")
    second = kubeconfig(tmp_path, "https://two.test", {"token": "t"}, name="two")
    clusters = clusters_of(first, tmp_path / "missing.yaml", second)
    assert [each.cluster for each in clusters.known()] == ["one", "two"]
    # Both call their cluster `c`: kubectl takes the first.
    assert {each.server for each in clusters.known()} == {"https://one.test"}
    env = {"HOME": "/home/ops", "KUBECONFIG": "/a:/b"}
    assert named_files(None, env) == (Path("/a"), Path("/b"))
    assert named_files("~/x", env) == (Path("/home/ops/x"),)


async def test_a_server_that_nobody_vouches_for_gets_no_token(
    server: TlsServer, tmp_path: Path
) -> None:
    clusters = clusters_of(kubeconfig(tmp_path, server.url, {"token": "first"}))
    server.asked.clear()
    async with clusters.open():
        with pytest.raises(Unavailable, match="not vouched for"):
            await nodes(clusters)
    assert not server.asked


def test_unverified_and_plain_servers_elsewhere_are_refused() -> None:
    far = Access(server="https://k8s.example.com", insecure=True)
    with pytest.raises(NotConfigured, match="insecure-skip-tls-verify"):
        judged("main", far, insecure_tls=False)
    with pytest.raises(NotConfigured, match="plain http"):
        judged("main", Access(server="http://k8s.example.com"), insecure_tls=False)
    for server in ("ftp://x", "https://", "https://user:pw@k8s.example.com"):
        with pytest.raises(NotConfigured, match="https address"):
            judged("main", Access(server=server), insecure_tls=True)
    assert without_user("https://user:pw@k8s.example.com:1/x") == "https://k8s.example.com:1/x"
    assert judged("main", far, insecure_tls=True) is far
    near = Access(server="http://127.0.0.1:8080")
    assert judged("main", near, insecure_tls=False) is near


async def test_a_token_file_is_read_anew_when_its_token_is_refused(
    server: TlsServer, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    ca = {"certificate-authority": str(server.trusted)}
    clusters = clusters_of(kubeconfig(tmp_path, server.url, {"tokenFile": "token"}, **ca))
    async with clusters.open():
        with pytest.raises(NotConfigured):
            await nodes(clusters)
        token.write_text("second\n")
        assert (await nodes(clusters))["kind"] == "NodeList"


async def test_a_changed_kubeconfig_is_taken_at_the_next_call(
    server: TlsServer, tmp_path: Path
) -> None:
    ca = {"certificate-authority": str(server.trusted)}
    clusters = clusters_of(kubeconfig(tmp_path, server.url, {"token": "first"}, **ca))
    async with clusters.open():
        await nodes(clusters)
        kubeconfig(tmp_path, server.url, {"token": "a-wrong-one"}, **ca)
        with pytest.raises(NotConfigured):
            await nodes(clusters)


async def test_a_stored_secret_is_the_token_and_a_new_value_is_taken(
    server: TlsServer, tmp_path: Path
) -> None:
    file = tmp_path / "k8s.yaml"
    account = {"server": server.url, "ca_file": str(server.trusted), "token": "secret:kube/main"}
    file.write_text(yaml.safe_dump({"clusters": {"main": account}}))
    accounts, _ = found_accounts(file, (), {})
    credentials = Credentials(accounts.needs())
    clusters = Clusters(accounts, credentials)
    credentials.changed = clusters.secret_changed
    async with clusters.open():
        with pytest.raises(NotConfigured, match="has not been brought"):
            await nodes(clusters)
        credentials.give({"kube/main": "wrong"})
        with pytest.raises(NotConfigured):
            await nodes(clusters)
        credentials.give({"kube/main": CANARY})
        assert (await nodes(clusters))["kind"] == "NodeList"
    assert CANARY not in repr(clusters.known())


async def test_a_client_certificate_of_a_kubeconfig_lies_in_no_file_afterwards(
    server: TlsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    own = server.trusted.parent.parent / "server"
    user = {
        "token": "first",
        "client-certificate-data": base64.b64encode(
            (own / "certificate.pem").read_bytes()
        ).decode(),
        "client-key-data": base64.b64encode((own / "key.pem").read_bytes()).decode(),
    }
    ca = {"certificate-authority": str(server.trusted)}
    clusters = clusters_of(kubeconfig(tmp_path, server.url, user, **ca))
    async with clusters.open():
        assert (await nodes(clusters))["kind"] == "NodeList"
        assert not list(scratch.iterdir())
    broken = {**user, "client-key-data": base64.b64encode(b"no key").decode()}
    clusters = clusters_of(kubeconfig(tmp_path, server.url, broken, name="broken", **ca))
    async with clusters.open():
        with pytest.raises(NotConfigured, match="certificates or key cannot be used"):
            await nodes(clusters)
    assert not list(scratch.iterdir())


def plugin(folder: Path, body: str) -> dict[str, Any]:
    script = folder / "login.py"
    script.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{body}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./login.py",
        "args": ["get-token"],
        "env": [{"name": "REGION", "value": "north"}],
    }


PRINTS = """
asked = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
with open("runs", "a") as runs:
    runs.write(json.dumps(dict(os.environ)) + "\\n")
print(json.dumps({"apiVersion": asked["apiVersion"], "kind": "ExecCredential",
                  "status": {"token": "TOKEN" if os.environ["REGION"] == "north" else ""}}))
""".replace("TOKEN", CANARY)


async def test_a_plugin_runs_only_where_it_may_once_and_without_our_environment(
    server: TlsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOTILLA_CANARY", CANARY)
    ca = {"certificate-authority": str(server.trusted)}
    file = kubeconfig(tmp_path, server.url, {"exec": plugin(tmp_path, PRINTS)}, **ca)
    refused = clusters_of(file)
    with pytest.raises(NotConfigured, match="by running a program") as error:
        await refused.client()
    assert error.value.hint is not None and "K8S_EXEC_PLUGINS=on" in error.value.hint
    assert refused.known()[0].problem is not None
    assert not (tmp_path / "runs").exists()
    allowed = clusters_of(file, exec_plugins=True)
    async with allowed.open():
        await nodes(allowed)
        await nodes(allowed)
    (run,) = (tmp_path / "runs").read_text().splitlines()
    assert "FLOTILLA_CANARY" not in json.loads(run)
    assert json.loads(run)["REGION"] == "north"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (f"print('{CANARY}', file=sys.stderr); sys.exit(3)", "ended with status 3"),
        (f"print('{CANARY}')", "printed no credential"),
        ("print('{}' * 40000)", "prints too much"),
        ("print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'status': {}}))",
         "gave no token"),
    ],
)  # fmt: skip
async def test_a_plugin_that_fails_says_so_without_its_words(
    tmp_path: Path, body: str, words: str
) -> None:
    told = plugin(tmp_path, body)
    source = FromPlugin(
        Plugin(command=f"{tmp_path}/login.py", args=(), api_version=told["apiVersion"])
    )
    with pytest.raises(NotConfigured, match=words) as error:
        await source.token(soon())
    assert CANARY not in str(error.value)


async def test_a_plugin_that_hangs_is_ended_in_time(tmp_path: Path) -> None:
    script = tmp_path / "login.sh"
    # Python is not always up within the second, and what is being written may be read empty.
    script.write_text("#!/bin/sh\necho $$ >pid.new; mv pid.new pid; exec sleep 60\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    source = FromPlugin(
        Plugin(command=str(script), args=(), api_version="v1", folder=str(tmp_path))
    )
    with pytest.raises(TimedOut):
        await source.token(Deadline.after(1.0))
    pid = (tmp_path / "pid").read_text().strip()
    assert not Path(f"/proc/{pid}").exists()


async def test_a_token_of_a_plugin_is_renewed_before_it_ends(tmp_path: Path) -> None:
    body = """
n = len(os.listdir("."))
open(f"run-{n}", "w").close()
status = {"token": f"t{n}", "expirationTimestamp": "2026-01-01T01:00:00Z"}
print(json.dumps({"apiVersion": "v1", "status": status}))
"""
    plugin(tmp_path, body)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    told = Plugin(command=f"{tmp_path}/login.py", args=(), api_version="v1", folder=str(tmp_path))
    clock = {"now": now}
    source = FromPlugin(told, now=lambda: clock["now"])
    first = await source.token(soon())
    assert await source.token(soon()) == first
    clock["now"] = now + timedelta(minutes=59, seconds=30)
    assert await source.token(soon()) != first


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"users: [{{name: u, user: {{token: {CANARY}}}", "not valid YAML"),
        ("just text", "not a kubeconfig"),
        ("clusters: {a: b}", "clusters must be a list"),
        ("users: [{user: {}}]", "each of users needs a name"),
    ],
)
def test_a_broken_kubeconfig_is_told_by_its_name_and_not_by_its_text(
    tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(Misconfigured, match=words) as error:
        Kubeconfig.read([file])
    assert CANARY not in str(error.value)


def test_ways_to_sign_in_that_are_gone_or_would_give_more_rights_are_refused(
    tmp_path: Path,
) -> None:
    for user in (
        {"username": "u", "password": CANARY},
        {"auth-provider": {"name": "gcp"}},
        {"token": "t", "as": "viewer", "as-groups": ["a"]},
    ):
        read = Kubeconfig.read([kubeconfig(tmp_path, "https://k8s.test", user)])
        with pytest.raises(NotConfigured) as error:
            read.access("config", exec_plugins=True)
        assert CANARY not in str(error.value)
    read = Kubeconfig.read([kubeconfig(tmp_path, "https://k8s.test", {"as": "viewer"})])
    assert read.access("config", exec_plugins=False).impersonate == {"Impersonate-User": "viewer"}


def test_the_cluster_that_the_service_runs_in_is_there_where_none_is_named(tmp_path: Path) -> None:
    for name, text in (("token", "t"), ("ca.crt", "pem"), ("namespace", "tools")):
        (tmp_path / name).write_text(text)
    env = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    accounts, _ = found_accounts(Path("/nonexistent"), (), env, own=tmp_path)
    ((alias, account),) = list(accounts)
    assert (alias, account.server, account.namespace) == (
        IN_CLUSTER, "https://10.96.0.1:443", "tools"
    )  # fmt: skip
    accounts, _ = found_accounts(Path("/nonexistent"), (), {}, own=tmp_path)
    assert not len(accounts)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"server": "https://a", "kubeconfig": "/b"},
        {"server": "https://a", "client_certificate": "/c"},
        {"server": "https://a", "token": "a-token-in-plain"},
        {"server": "https://a", "tokn": "secret:x"},
    ],
)
def test_a_cluster_that_is_said_wrong_stops_the_start_and_shows_no_value(
    tmp_path: Path, told: dict[str, str]
) -> None:
    file = tmp_path / "k8s.yaml"
    file.write_text(yaml.safe_dump({"clusters": {"main": told}}))
    with pytest.raises(Misconfigured, match=r"clusters\.main") as error:
        Accounts[ClusterAccount].load("cluster", file, ClusterAccount)
    assert "a-token-in-plain" not in str(error.value)


def test_proxies_of_the_environment_are_used_as_kubectl_uses_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,.internal")
    assert environment_proxy("https://k8s.example.com:6443") == "http://proxy.test:3128"
    assert environment_proxy("https://127.0.0.1:6443") is None
    assert environment_proxy("https://api.internal") is None


def test_a_name_cannot_leave_its_place_in_a_path() -> None:

    for bad in ("../secrets", "a/b", "..", "a?x=1", "a%2fb", "", "x" * 300):
        with pytest.raises(FlotillaError, match="cannot be the name"):
            PODS.path("default", bad)
    assert PODS.path("default", "system:node") == "/api/v1/namespaces/default/pods/system:node"


async def test_a_call_that_began_before_a_change_can_go_on(
    server: TlsServer, tmp_path: Path
) -> None:
    ca = {"certificate-authority": str(server.trusted)}
    clusters = clusters_of(kubeconfig(tmp_path, server.url, {"token": "first"}, **ca))
    async with clusters.open():
        before = await clusters.client()
        kubeconfig(tmp_path, server.url, {"token": "second-one"}, **ca)
        await clusters.client()
        await clusters.client()
        assert (await before.request("GET", NODES, due=soon()))["kind"] == "NodeList"
