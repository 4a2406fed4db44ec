"""How a server that npx or uvx runs is fetched beforehand, so that it can then run offline. Pure.

Those two fetch a package when it is first run, which needs the network; most servers need none
themselves. So a server without network is fetched by a run of its own, which has the network, but
neither the server's secrets nor any folder of this machine, and then runs from what is there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

_FORWARDED = re.compile(
    r"(?:npm_config_|uv_|pip_|(?:https?|no|all)_proxy$|ssl_cert_|node_extra_ca_certs$)",
    re.IGNORECASE,
)
"""Variables of an entry that say where packages come from, and are no secrets of the server's."""
_NPX_VALUES = ("-p", "--package")
_NPX_FLAGS = ("-y", "--yes", "-q", "--quiet")
_UVX_VALUES = (
    "--from", "--with", "--python", "-p", "--index", "--default-index", "--index-url",
    "--extra-index-url", "--prerelease", "--with-requirements", "--constraints",
)  # fmt: skip
_NPM_PIN = re.compile(r"(?:@[^/@]+/)?[^/@]+@\d+\.\d+\.\d+[\w.+-]*")
_PYPI_PIN = re.compile(r"[\w.-]+(?:\[[\w,.-]+\])?==[\w.!+]+|[\w.-]+@\d[\w.]*")


@dataclass(frozen=True, slots=True)
class Fetch:
    """The arguments that fetch a server and end, and what makes it run from that afterwards."""

    args: tuple[str, ...]
    offline: Mapping[str, str]
    pinned: bool
    """Every package has its exact version: to fetch it once is enough."""


def fetch_of(command: str, args: Sequence[str]) -> Fetch | None:
    """How `command` with `args` is fetched; None where it is not npx or uvx, or not understood."""
    name = PurePosixPath(command).name
    if name == "npx":
        return _npx(args)
    return _uvx(args) if name == "uvx" else None


def forwarded(env: Mapping[str, str]) -> dict[str, str]:
    """What of an entry's environment the fetch may have."""
    return {key: value for key, value in env.items() if _FORWARDED.match(key)}


def _npx(args: Sequence[str]) -> Fetch | None:
    parsed = _options(args, _NPX_VALUES, _NPX_FLAGS)
    if parsed is None:
        return None
    options, package = parsed
    packages = [value for _, value in options] or [package]
    return Fetch(
        ("-y", *(f"--package={each}" for each in packages), "-c", "true"),
        {"npm_config_offline": "true", "npm_config_update_notifier": "false"},
        all(_NPM_PIN.fullmatch(each) for each in packages),
    )


def _uvx(args: Sequence[str]) -> Fetch | None:
    parsed = _options(args, _UVX_VALUES, ())
    if parsed is None:
        return None
    options, package = parsed
    wanted = [value for option, value in options if option in ("--from", "--with")]
    if not any(option == "--from" for option, _ in options):
        options = [("--from", package), *options]
        wanted = [package, *wanted]
    given = [each for option in options for each in option]
    return Fetch(
        (*given, "python", "-c", ""),
        {"UV_OFFLINE": "1"},
        all(_PYPI_PIN.fullmatch(each) for each in wanted),
    )


def _options(
    args: Sequence[str], with_value: Sequence[str], flags: Sequence[str]
) -> tuple[list[tuple[str, str]], str] | None:
    """The options before the first argument that is none, and that; None for one unknown."""
    options: list[tuple[str, str]] = []
    left = list(args)
    while left:
        arg = left.pop(0)
        name, equals, value = arg.partition("=")
        if arg == "--" and left:
            return options, left[0]
        if not arg.startswith("-"):
            return options, arg
        if name in with_value and (equals or left):
            options.append((name, value if equals else left.pop(0)))
        elif arg not in flags:
            return None
    return None
