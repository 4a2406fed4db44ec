"""What the container files promise one another, without an engine."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.seccomp import NEEDED, REFUSED
from web_browsing.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SERVICES = yaml.safe_load((ROOT / "config/services.yaml").read_text())["services"]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
PROFILE = "deploy/compose/chromium-seccomp.json"
RUNNER = "external-runner"
RUNNER_FILE = ROOT / "00_master_mcp/runner.Dockerfile"
LONG_RUNNING = {name: each for name, each in COMPOSE["services"].items() if name != "passwords"}


def folder_of(service: str) -> Path:
    return ROOT / f"{SERVICES[service]['number']:02}_{service}_mcp"


def block_of(service: str) -> dict[str, Any]:
    return COMPOSE["services"][service.replace("_", "-")]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_its_image_and_its_block(service: str) -> None:
    folder = folder_of(service)
    dockerfile = (folder / "Dockerfile").read_text()

    assert block_of(service)["build"]["dockerfile"] == f"{folder.name}/Dockerfile"
    assert f"EXPOSE {SERVICES[service]['port']}\n" in dockerfile
    assert f"'127.0.0.1', {SERVICES[service]['port']}, " in dockerfile
    assert (folder / "entrypoint.sh").stat().st_mode & 0o111


def test_images_begin_with_the_same_layers_and_start_alike() -> None:
    shared = {
        file.read_text().partition("# --- this service")[0]
        for file in [RUNNER_FILE, *(folder_of(name) / "Dockerfile" for name in SERVICES)]
    }
    entrypoints = {(folder_of(name) / "entrypoint.sh").read_text() for name in SERVICES}

    assert len(shared) == 1, "the Dockerfiles differ above '# --- this service'"
    assert len(entrypoints) == 1, "entrypoint.sh is the same in every service"


def test_requirements_are_installed_by_hash_alone() -> None:
    for name in SERVICES:
        dockerfile = (folder_of(name) / "Dockerfile").read_text().replace("\\\n", "")
        installs = re.findall(r"pip .*? install .*", dockerfile)
        assert len(installs) == 2
        assert all("--require-hashes" in each and "--only-binary" in each for each in installs)


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_a_container_is_given_no_more_than_it_needs(name: str) -> None:
    block = LONG_RUNNING[name]

    assert block["read_only"] is True
    assert block["cap_drop"] == ["ALL"]
    profiles = [f"seccomp={PROFILE}"] if name == "web-browsing" else []
    assert block["security_opt"] == ["no-new-privileges:true", *profiles]
    if name == RUNNER:
        # To make a user of its own of each program takes rights, but these alone.
        assert block["cap_add"] == ["CHOWN", "KILL", "SETGID", "SETUID"]
    else:
        assert not block["user"].startswith("0")
        assert "cap_add" not in block
    assert {"mem_limit", "pids_limit", "restart", "stop_grace_period", "logging"} <= set(block)
    # What is written there is no program.
    assert not [each for each in block.get("tmpfs", ()) if "exec" in each.split(":")[1].split(",")]
    assert "privileged" not in block
    assert not [volume for volume in block["volumes"] if "docker.sock" in volume]


def test_the_browsers_container_may_make_namespaces_and_little_else_that_others_may_not() -> None:
    profile = json.loads((ROOT / PROFILE).read_text())
    allowed, sockets, refused = profile["syscalls"]

    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert set(allowed["names"]) >= NEEDED
    assert not set(allowed["names"]) & REFUSED
    assert set(refused["names"]) == REFUSED
    assert refused["action"] == "SCMP_ACT_ERRNO"
    assert sockets["names"] == ["socket"]
    # Nothing is refused by its arguments alone but sockets to the hypervisor.
    assert "args" not in allowed


def test_the_browsers_container_has_room_for_as_many_tabs_as_there_may_be() -> None:
    block, settings = block_of("web_browsing"), Settings()
    tabs = settings.max_sessions * settings.max_tabs

    # Of its processes' threads, of which five sessions of eight tabs each were seen to have 632.
    assert block["pids_limit"] >= 150 + 14 * tabs
    assert block["mem_limit"] == "3g"
    assert settings.max_memory_mb + 1024 <= 3 * 1024


def test_only_the_hub_is_published_and_on_the_network_that_leads_out() -> None:
    assert [name for name, block in LONG_RUNNING.items() if "ports" in block] == ["master"]
    assert [name for name, block in LONG_RUNNING.items() if "edge" in block["networks"]] == [
        "master"
    ]
    networks = {
        name: (each or {}).get("internal", False) for name, each in COMPOSE["networks"].items()
    }
    assert networks == {
        "edge": False,
        "linux-egress": False,
        "azure-egress": False,
        "google-cloud-egress": False,
        "vmware-egress": False,
        "web-search-egress": False,
        "web-browsing-egress": False,
        "k8s-egress": False,
        "cmdb-egress": False,
        "mcp-network": True,
        "runner-egress": False,
        "state": True,
    }
    for network, only in (("runner-egress", RUNNER), ("linux-egress", "linux-cli")):
        assert [name for name, each in LONG_RUNNING.items() if network in each["networks"]] == [
            only
        ]
    # Where commands run there is no way to the databases.
    assert block_of("linux_cli")["networks"] == ["mcp-network", "linux-egress"]


def test_only_the_hub_mounts_its_keys_and_each_service_its_own_passwords() -> None:
    for name, block in LONG_RUNNING.items():
        volumes = [volume for volume in block["volumes"] if not volume.startswith("./")]
        assert ("hub-data:/data" in volumes) == (name == "master")
        assert ("hub-public:/hub" in volumes) == (name == "master")
        passwords = [volume for volume in volumes if volume.startswith("passwords-")]
        assert all(volume == f"passwords-{name}:/passwords/{name}:ro" for volume in passwords)


def test_the_runner_has_nothing_of_the_hubs_but_its_public_key() -> None:
    block = LONG_RUNNING[RUNNER]

    assert block["volumes"] == ["external-runner-data:/data", "hub-public:/hub:ro"]
    assert block["networks"] == ["mcp-network", "runner-egress"]
    assert block["init"] is True
    assert not [key for key in block["environment"] if "PASSWORD" in key or "DATABASE" in key]
    port = COMPOSE["services"]["master"]["environment"]["FLOTILLA_EXTERNAL_RUNNER"]
    assert port == f"http://{RUNNER}:8020"


def test_the_runners_image_has_what_starts_servers_and_installs_by_hash_alone() -> None:
    text = RUNNER_FILE.read_text()
    installs = re.findall(r"pip .*? install .*", text.replace("\\\n", ""))

    assert LONG_RUNNING[RUNNER]["build"]["dockerfile"] == "00_master_mcp/runner.Dockerfile"
    assert len(installs) == 3
    assert all("--require-hashes" in each and "--only-binary" in each for each in installs)
    assert "EXPOSE 8020\n" in text
    assert "'127.0.0.1', 8020, " in text
    assert {"bubblewrap", "git", "nodejs", "npm"} <= set(text.split())
    assert not [line for line in text.splitlines() if line.startswith("COPY") and "config" in line]


def test_the_runners_lock_is_cut_from_that_of_everything() -> None:
    lock = (ROOT / "00_master_mcp/runner-requirements.txt").read_text()
    pinned = re.findall(r"^([\w.-]+==\S+)", lock, re.MULTILINE)
    everything = (ROOT / "requirements-dev.txt").read_text()

    assert [pin.partition("==")[0] for pin in pinned] == ["uv"]
    assert [pin for pin in pinned if f"\n{pin} " not in everything] == []
    assert set(re.findall(r"--hash=\S+", lock)) <= set(re.findall(r"--hash=\S+", everything))
    assert "--hash=sha256:" in lock


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "master"])
def test_every_setting_of_a_spoke_reaches_its_container(service: str) -> None:
    documented = re.findall(r"^#([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    wanted = {key for key in documented if key.startswith(f"{service.upper()}_")}

    # A file's name on this machine means nothing in a container.
    assert {key for key in wanted if not key.endswith("_FILE")} <= set(
        block_of(service)["environment"]
    )


def test_a_build_sees_what_is_named_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]

    assert patterns[0] == "*"
    assert {line for line in patterns if line.startswith("!")} == {
        "!flotilla",
        "!config",
        "![0-9][0-9]_*_mcp",
    }


def test_the_engine_of_the_tests_makes_every_foreign_image() -> None:
    script = (ROOT / "tests/real/engine/up.sh").read_text()
    foreign = {block["image"] for block in COMPOSE["services"].values() if "build" not in block} | {
        re.search(r"^ARG BASE=(.+)$", (folder_of(name) / "Dockerfile").read_text(), re.M)[1]  # pyright: ignore[reportOptionalSubscript]
        for name in SERVICES
    }

    assert not [image for image in foreign if image not in script]
