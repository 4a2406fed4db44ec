from pathlib import Path

import pytest

from flotilla import Misconfigured
from flotilla.fleet import FleetConfig

GOOD = """
services:
  master: {number: 0, port: 8000, namespaces: [master]}
  linux_cli: {number: 1, port: 8001, namespaces: [os.linux, os.ssh], timeout_s: 5}
"""


@pytest.fixture
def write(tmp_path: Path):
    def written(text: str) -> Path:
        file = tmp_path / "services.yaml"
        file.write_text(text)
        return file

    return written


def test_ports_come_from_the_file_and_move_by_the_environment(write) -> None:
    file = write(GOOD)
    assert FleetConfig.load(file, {}).port("linux_cli") == 8001
    assert FleetConfig.load(file, {"MCP_PORT_BASE": "9100"}).port("linux_cli") == 9101
    moved = FleetConfig.load(file, {"MCP_PORT_BASE": "9100", "MCP_PORT_LINUX_CLI": "77"})
    assert (moved.port("master"), moved.port("linux_cli")) == (9100, 77)


def test_urls_follow_the_pattern_with_dashes_for_container_names(write) -> None:
    file = write(GOOD)
    assert FleetConfig.load(file, {}).url("linux_cli") == "http://127.0.0.1:8001"
    inside = FleetConfig.load(file, {"FLOTILLA_SPOKE_URL": "http://{name}:{port}"})
    assert inside.url("linux_cli") == "http://linux-cli:8001"


def test_services_are_chosen_by_number_or_name(write) -> None:
    config = FleetConfig.load(write(GOOD), {})
    assert config.chosen(None) == config.chosen("") == ["master", "linux_cli"]
    assert config.chosen("01, master") == ["master", "linux_cli"]
    with pytest.raises(Misconfigured, match="'07'"):
        config.chosen("00,07")


@pytest.mark.parametrize(
    ("text", "env", "told"),
    [
        ("services: [", {}, "not valid YAML"),
        ("", {}, "the file"),
        ("servics: {}", {}, "servics"),
        (GOOD + "    timeout: 5", {}, "not valid YAML"),
        (GOOD.replace("timeout_s: 5", "timeout_s: fast"), {}, "services.linux_cli.timeout_s"),
        (GOOD.replace("timeout_s: 5", "timeout_s: -1"), {}, "services.linux_cli.timeout_s"),
        (GOOD.replace("os.ssh", "ssh"), {}, "'ssh'"),
        (GOOD.replace("os.ssh", "master"), {}, "belongs to master and to linux_cli"),
        (GOOD.replace("8001", "8000"), {}, "port 8000 is that of master and of linux_cli"),
        (GOOD.replace("number: 1", "number: 0"), {}, "number 0"),
        (GOOD, {"MCP_PORT_BASE": "low"}, "MCP_PORT_BASE"),
        (GOOD, {"MCP_PORT_BASE": "65535"}, "65536"),
        (GOOD, {"MCP_PORT_LINUX_CLI": "70000"}, "MCP_PORT_LINUX_CLI"),
    ],
)
def test_a_mistake_is_told_by_file_and_key(write, text, env, told) -> None:
    with pytest.raises(Misconfigured, match=r"services\.yaml") as raised:
        FleetConfig.load(write(text), env)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"cannot read .*services\.yaml"):
        FleetConfig.load(tmp_path / "services.yaml", {})
