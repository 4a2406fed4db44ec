"""services.yaml, the folders and docker-compose.yml speak of the same fleet."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from flotilla.fleet import HUB, FleetConfig
from flotilla.launch.plan import folder_of

ROOT = Path(__file__).resolve().parents[2]
FLEET = FleetConfig.load(ROOT / "config" / "services.yaml", env={})
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
each_name = pytest.mark.parametrize("name", list(FLEET.services))


def composed(name: str) -> dict[str, Any]:
    return COMPOSE["services"][name.replace("_", "-")]


def test_compose_builds_every_service_and_nothing_else() -> None:
    built = {
        Path(service["build"]["dockerfile"]).parent.name
        for service in COMPOSE["services"].values()
        if "build" in service
    }
    assert built == {folder_of(name, FLEET) for name in FLEET.services}


@each_name
def test_compose_calls_a_service_by_its_name_with_dashes(name: str) -> None:
    assert Path(composed(name)["build"]["dockerfile"]).parent.name == folder_of(name, FLEET)


@each_name
def test_a_service_has_the_port_of_its_number(name: str) -> None:
    assert FLEET.port(name) == 8000 + FLEET.service(name).number


@each_name
def test_the_image_of_a_service_says_its_port(name: str) -> None:
    dockerfile = (ROOT / folder_of(name, FLEET) / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^EXPOSE (\d+)", dockerfile, re.MULTILINE) == [str(FLEET.port(name))]


def test_only_the_hub_is_published() -> None:
    published = {name for name, service in COMPOSE["services"].items() if "ports" in service}
    assert published == {HUB}
    (port,) = composed(HUB)["ports"]
    assert port.endswith(f":{FLEET.port(HUB)}")
