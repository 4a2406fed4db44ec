"""Who may import whom, read from the source text."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(ROOT.glob("[0-9][0-9]_*_mcp"))
PACKAGES = {
    init.parent.name: service for service in SERVICES for init in service.glob("*/__init__.py")
}
PURE = (
    "backoff",
    "breaker",
    "context",
    "correlation",
    "errors",
    "gcra",
    "known_values",
    "launch/clients",
    "launch/plan",
    "launch/reading",
    "meta",
    "model",
    "names",
    "paging",
    "preview",
    "redaction",
    "resilience",
    "schema",
    "secret_places",
    "secret_shapes",
    "secret_text",
    "sizes",
    "tool",
    "upstream",
)
DOES_IO = {
    *("aiohttp", "asyncio", "ctypes", "fcntl", "http", "httpx", "httpx2", "io", "logging", "os"),
    *("multiprocessing", "psutil", "requests", "select", "shutil", "signal", "socket", "sqlite3"),
    *("ssl", "starlette", "subprocess", "tempfile", "threading", "urllib3", "uvicorn"),
}
EXCUSED = {
    # Randomness is all that it takes from the system.
    "correlation": {"os"},
    # The loaded configuration is data; its type lives beside its loading.
    "launch/plan": {"flotilla.fleet", "flotilla.fleet.HUB", "flotilla.fleet.FleetConfig"},
}
LIBRARY_IO = ("flotilla.fleet", "flotilla.identity", "flotilla.serving", "flotilla.settings")


def imports(source: Path) -> Iterator[str]:
    """The modules that a file imports, `a.b` for `from a import b` too."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{source}: write `from package.module import name`"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def roots(source: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(source)}


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_a_service_imports_no_other_service(service: Path) -> None:
    others = {package for package, home in PACKAGES.items() if home != service}
    for source in service.rglob("*.py"):
        assert not roots(source) & others, (
            f"{source.relative_to(ROOT)} imports another service; speak MCP through the hub, or "
            "move what both need into flotilla/"
        )


def test_the_library_imports_no_service() -> None:
    for source in (ROOT / "flotilla").rglob("*.py"):
        assert not roots(source) & set(PACKAGES), (
            f"{source.relative_to(ROOT)} imports a service; hand it in as a parameter"
        )


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_of_the_library_imports_nothing_that_does_io(name: str) -> None:
    imported = set(imports(ROOT / "flotilla" / f"{name}.py")) - EXCUSED.get(name, set())
    assert not {each.partition(".")[0] for each in imported} & DOES_IO, (
        f"flotilla/{name}.py decides and does not act; let its caller do the I/O and hand in data"
    )
    assert not [each for each in imported if each.startswith(LIBRARY_IO)]


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_nothing_but_the_entry_point_of_a_service_starts_serving(service: Path) -> None:
    for source in service.rglob("*/*.py"):
        assert not {"flotilla.serving.serve", "flotilla.serving.serve_services"} & set(
            imports(source)
        ), f"{source.relative_to(ROOT)}: only mcp_server.py starts things"


def test_what_runs_before_the_installation_imports_the_standard_library_alone() -> None:
    for name in ("tools/environment.py", "flotilla/launch/tether.py"):
        assert roots(ROOT / name) <= sys.stdlib_module_names
    for name in ("run_fleet.py", "run_tests.py"):
        top = ast.parse((ROOT / name).read_text(encoding="utf-8")).body
        at_import = [node for node in top if isinstance(node, (ast.Import, ast.ImportFrom))]
        names = {
            alias.name if isinstance(node, ast.Import) else str(node.module)
            for node in at_import
            for alias in node.names
        }
        assert {each.partition(".")[0] for each in names} <= sys.stdlib_module_names
