"""config/hosts.yaml: what it may say, and what a mistake in it is called."""

import subprocess
import sys
from pathlib import Path

import pytest

from flotilla import CommonSettings, Misconfigured
from linux_cli import build, inventory_of
from linux_cli.settings import Settings
from linux_cli.ssh.inventory import Inventory, target_of

HOST = "{address: web1, user: me, key: 'secret:ssh/web1'"


def load(tmp_path: Path, text: str) -> Inventory:
    file = tmp_path / "hosts.yaml"
    file.write_text(text)
    return Inventory.load(file)


def test_a_host_needs_an_address_a_user_and_a_key(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        f"""
        hosts:
          local: {{tags: [here]}}
          web1: {HOST}, tags: [web], jump: edge, tunnels: ['127.0.0.1:5432', '[::1]:80']}}
          edge: {{address: 192.0.2.1, port: 2222, user: me, key: /etc/key, passphrase: 'secret:p'}}
        """,
    )
    web, edge = dict(found)["web1"], dict(found)["edge"]
    assert (web.port, web.jump, web.known_hosts, edge.port) == (22, "edge", "strict", 2222)
    assert found.needs() == ("ssh/web1", "p")
    assert found.key_files() == (Path("/etc/key"),)
    assert found.local.tags == ("here",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "`hosts`"),
        ("{hosts: [], more: 1}", "`hosts`"),
        ("hosts: [a]", "map of alias"),
        ("hosts: {'bad alias': " + HOST + "}}", "hosts.bad alias"),
        ("hosts: {-x: " + HOST + "}}", "hosts.-x"),
        ("hosts: {a: {user: me, key: 'secret:x'}}", "hosts.a.address"),
        ("hosts: {a: {address: -oProxyCommand=x, user: me, key: /k}}", "hosts.a.address"),
        ("hosts: {a: {address: 'a b', user: me, key: /k}}", "hosts.a.address"),
        ("hosts: {a: {address: a, user: 'me;x', key: /k}}", "hosts.a.user"),
        ("hosts: {a: {address: a, user: me, key: id_rsa}}", "hosts.a.key"),
        ("hosts: {a: {address: a, user: me, key: 'secret:'}}", "hosts.a.key"),
        ("hosts: {a: " + HOST + ", passphrase: hunter2}}", "hosts.a.passphrase"),
        ("hosts: {a: " + HOST + ", password: hunter2}}", "hosts.a.password"),
        ("hosts: {a: " + HOST + ", port: 70000}}", "hosts.a.port"),
        ("hosts: {a: " + HOST + ", known_hosts: accept-new}}", "hosts.a.known_hosts"),
        ("hosts: {a: " + HOST + ", host_key: 'MD5:aa'}}", "hosts.a.host_key"),
        ("hosts: {a: " + HOST + ", tunnels: ['db']}}", "hosts.a.tunnels.0"),
        ("hosts: {a: " + HOST + ", tunnels: ['db:0']}}", "hosts.a.tunnels.0"),
        ("hosts: {a: " + HOST + ", jump: b}}", "hosts.a.jump"),
        ("hosts: {a: " + HOST + ", jump: a}}", "circle"),
        ("hosts: {a: " + HOST + ", jump: local}}", "hosts.a.jump"),
        ("hosts: {local: {address: x}}", "hosts.local.address"),
        ("hosts: {a: ", "YAML"),
    ],
)
def test_a_mistake_names_the_file_and_the_key(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(Misconfigured) as raised:
        load(tmp_path, text)
    assert str(tmp_path / "hosts.yaml") in str(raised.value) and told in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    common = CommonSettings(data_dir=tmp_path, config_dir=tmp_path)
    assert not list(inventory_of(Settings(), common))
    with pytest.raises(Misconfigured, match=r"nothing\.yaml"):
        build(Settings(hosts_config=tmp_path / "nothing.yaml"), common)


def test_the_inventory_that_is_delivered_has_local_alone() -> None:
    root = Path(__file__).resolve().parents[3]
    assert not list(Inventory.load(root / "config" / "hosts.yaml"))


@pytest.mark.parametrize("wrong", ["", "db", "db:", "db:x", "db:65536", "a b:1", "[::1]", "-x:1"])
def test_a_target_is_a_host_and_a_port(wrong: str) -> None:
    assert target_of("[::1]:80") == ("::1", 80) and target_of("db:5432") == ("db", 5432)
    with pytest.raises(ValueError, match="host:port"):
        target_of(wrong)


@pytest.mark.real
def test_without_hosts_over_ssh_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    asked = (
        "import sys; from linux_cli import build; from linux_cli.settings import Settings;"
        "from flotilla import CommonSettings; from pathlib import Path;"
        "build(Settings(), CommonSettings(data_dir=Path(sys.argv[1]), config_dir=Path('.')));"
        "raise SystemExit('asyncssh' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[3]
    environment = {"PYTHONPATH": f"{root}:{root / '01_linux_cli_mcp'}"}
    done = subprocess.run([sys.executable, "-c", asked, str(tmp_path)], env=environment, timeout=30)
    assert done.returncode == 0
