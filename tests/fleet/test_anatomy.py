"""Every spoke looks like every other spoke."""

import ast
import tomllib
from pathlib import Path

import pytest

from flotilla.fleet import HUB, FleetConfig
from flotilla.host import package_of
from flotilla.names import service_of_folder

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(path.parent for path in ROOT.glob("[0-9][0-9]_*_mcp/mcp_server.py"))
SPOKES = [folder for folder in SERVICES if service_of_folder(folder.name)[1] != HUB]
ROOMS = (
    "mcp_server.py",
    "requirements.in",
    "requirements.txt",
    "Dockerfile",
    "entrypoint.sh",
    "README.md",
)
ENTRY = """
from flotilla.serving import serve
from {package} import build
from {package}.settings import Settings

if __name__ == "__main__":
    serve(build(Settings.from_env()))
"""

each_service = pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
each_spoke = pytest.mark.parametrize("spoke", SPOKES, ids=lambda path: path.name)


def pyproject() -> dict[str, dict[str, object]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]


@each_service
@pytest.mark.parametrize("room", ROOMS)
def test_a_service_has_every_room(service: Path, room: str) -> None:
    assert (service / room).is_file(), f"{service.name} lacks {room}; copy it from another spoke"


@each_service
def test_a_service_has_one_package_with_its_settings(service: Path) -> None:
    assert (service / package_of(service) / "settings.py").is_file()


@each_service
def test_a_service_has_a_folder_of_tests(service: Path) -> None:
    tests = ROOT / "tests" / service.name
    assert list(tests.glob("test_*.py")), f"write tests of {service.name} into {tests}"


@each_spoke
def test_the_entry_point_of_a_spoke_starts_it_and_does_nothing_else(spoke: Path) -> None:
    module = ast.parse((spoke / "mcp_server.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(module), "say in one sentence what it starts"
    # The order of imports is alphabetic, and so depends on the package's name.
    found = sorted(ast.unparse(node) for node in module.body[1:])
    expected = ast.parse(ENTRY.format(package=package_of(spoke)))
    assert found == sorted(ast.unparse(node) for node in expected.body)


@each_service
def test_a_package_is_named_like_no_other_module(service: Path) -> None:
    name = package_of(service)
    pins = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    assert not any(pin.replace("-", "_").lower().startswith(f"{name}==") for pin in pins)


def test_the_tools_of_this_repository_know_every_service() -> None:
    folders = [folder.name for folder in SERVICES]
    tools = pyproject()
    pytest_options = tools["pytest"]["ini_options"]
    assert isinstance(pytest_options, dict)
    assert pytest_options["pythonpath"] == [".", *folders]
    assert tools["basedpyright"]["extraPaths"] == folders
    included = tools["basedpyright"]["include"]
    assert isinstance(included, list)
    assert set(folders) < set(included)


def test_the_library_is_packaged_whole() -> None:
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "flotilla").rglob("__init__.py")
    }
    packaged = pyproject()["setuptools"]["packages"]
    assert isinstance(packaged, list)
    assert set(packaged) == found


def test_every_folder_of_a_service_is_in_services_yaml_and_the_other_way_round() -> None:
    fleet = FleetConfig.load(ROOT / "config" / "services.yaml", env={})
    expected = {f"{entry.label}_{name}_mcp" for name, entry in fleet.services.items()}
    assert {folder.name for folder in SERVICES} == expected
