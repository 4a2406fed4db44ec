"""What can be known to be wrong before anything starts."""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from flotilla.fleet import HUB, FleetConfig
from flotilla.launch.plan import folder_of, with_hub
from flotilla.settings import CommonSettings, Misconfigured, key_of, read_secret


@dataclass(frozen=True, slots=True)
class Ground:
    """What the fleet stands on: its environment and what was read from it."""

    root: Path
    env: Mapping[str, str]
    common: CommonSettings
    fleet: FleetConfig
    services: tuple[str, ...]


def environment(root: Path, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """`.env` below the environment, which wins; Misconfigured for a file that cannot be read."""
    try:
        written = dotenv_values(root / ".env")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"cannot read .env: {error}") from None
    given = os.environ if env is None else env
    return {**{key: value for key, value in written.items() if value is not None}, **given}


def ground(root: Path, env: Mapping[str, str], wanted: str | None) -> Ground:
    """Read the fleet's own settings and services.yaml; Misconfigured names what is wrong."""
    common = CommonSettings.from_env(env)
    fleet = FleetConfig.load(common.config_dir / "services.yaml", env)
    services = with_hub(fleet.chosen(wanted or env.get("FLOTILLA_SERVICES")))
    for name in services:
        if not (root / folder_of(name, fleet) / "mcp_server.py").is_file():
            raise Misconfigured(
                f"services.yaml names {name}, but {folder_of(name, fleet)} is not there"
            )
    return Ground(root, env, common, fleet, tuple(services))


def check_ports(at: Ground) -> None:
    """Misconfigured names the first port that cannot be had."""
    for name in at.services:
        if (problem := port_problem(name, at)) is not None:
            raise Misconfigured(problem)


def port_problem(name: str, at: Ground) -> str | None:
    """Why the service could not listen on its port, None when it could."""
    bind, port = at.common.bind, at.fleet.port(name)
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except OSError as error:
            return (
                f"{name} cannot listen on {bind}:{port}: {error.strerror or error}. "
                f"Set MCP_PORT_BASE or MCP_PORT_{name.upper()} to move it"
            )
    return None


def secret_files(env: Mapping[str, str], prefixes: Sequence[str]) -> dict[str, str]:
    """The keys that name a secret file, with the file that each names."""
    starts = tuple(prefixes)
    return {
        key: value
        for key, value in sorted(env.items())
        if key.endswith("_FILE") and key.startswith(starts) and value
    }


def secret_problem(key: str, file: str) -> str | None:
    """Why a secret file cannot be read, None when it can."""
    try:
        read_secret(Path(file), key)
    except Misconfigured as error:
        return str(error)
    return None


def settings_problem(name: str, at: Ground) -> str | None:
    """What is wrong with a service's own settings, its secret files among them."""
    # The host imports all of serving, which a start of the fleet leaves to its children.
    from flotilla.host import open_package

    try:
        package, settings = open_package(at.root / folder_of(name, at.fleet))
        found = settings.Settings.from_env(at.env)
        # What else a service reads at start and can know to be wrong, it says by itself.
        if (check := getattr(package, "check", None)) is not None:
            check(found, at.common, at.fleet, at.env)
    except Misconfigured as error:
        return f"{name}: {error}"
    except ImportError as error:
        return f"{name} cannot be imported: {error}"
    return None


def unknown_keys(root: Path) -> list[str]:
    """The keys of `.env` that nothing reads, which mostly are misspelt ones."""
    known = documented_keys((root / ".env.example").read_text(encoding="utf-8"))
    return [key for key in dotenv_values(root / ".env") if key not in known]


def documented_keys(example: str) -> set[str]:
    """The keys of `.env.example`, set or commented out, each also as `<KEY>_FILE`."""
    lines = (line.removeprefix("#").strip() for line in example.splitlines())
    pairs = (line.partition("=") for line in lines)
    keys = {key.removesuffix("_FILE") for key, equals, _ in pairs if equals and key.isupper()}
    return keys | {f"{key}_FILE" for key in keys}


def folder_problem(at: Ground) -> str | None:
    """Why nothing can be written to the data folder, None when it can."""
    key = key_of("FLOTILLA_", "data_dir")
    try:
        at.common.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        return f"{key}: cannot make {at.common.data_dir}: {error.strerror}"
    if not os.access(at.common.data_dir, os.W_OK | os.X_OK):
        return f"{key}: {at.common.data_dir} cannot be written to"
    return None


def hub_url(at: Ground) -> str:
    """The base URL at which this machine reaches the hub."""
    return hub_url_of(at.common.bind, at.fleet.port(HUB))


def hub_url_of(bind: str, port: int) -> str:
    """The base URL of a hub that listens there."""
    bind = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)  # noqa: S104
    host = f"[{bind}]" if ":" in bind else bind
    return f"http://{host}:{port}"
