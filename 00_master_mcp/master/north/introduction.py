"""How the hub introduces itself: its revisions, and what a view of it can do."""

from collections.abc import Mapping
from typing import Any

from flotilla import __version__
from flotilla.names import safe_name
from master import rpc
from master.catalogue import Catalogue, View
from master.profiles import FINDERS
from master.result import HOP

MODERN_VERSIONS = ("2026-07-28",)
HANDSHAKE_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
SERVER_INFO = {"name": "flotilla", "title": "Flotilla", "version": __version__}
LIST_TTL_MS = 30_000
"""How long a modern client may keep a list without asking; changes are told at once anyway."""
FRESH = {"ttlMs": LIST_TTL_MS, "cacheScope": "private"}
"""Lists are for one principal alone, whatever their servers say."""

CAPABILITIES: Mapping[str, Any] = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"subscribe": True, "listChanged": True},
    "completions": {},
    "logging": {},
}
"""Of the whole fleet: servers come and go, and a client is told once what to expect."""


HOW_TO_FIND = (
    "Few of the tools are listed. Find the others with {0}, look at one with {1}, and call it by "
    "its own name or with {2}."
)


def capabilities_of(catalogue: Catalogue, view: View) -> Mapping[str, Any]:
    """What a view can do; one server's view what that server can, where it has said so."""
    if view.service is None:
        return CAPABILITIES
    said = catalogue.offered(view.service).capabilities
    known = {name: value for name, value in CAPABILITIES.items() if name in said}
    extensions = {name: said[name] for name in ("experimental", "extensions") if name in said}
    return {**known, **extensions} if said else CAPABILITIES


def initialized(
    catalogue: Catalogue, view: View, instructions: str, params: Mapping[str, Any]
) -> tuple[str, str]:
    """The revision agreed on in a handshake, and the JSON text of the answer to it."""
    asked = params.get("protocolVersion")
    if not isinstance(asked, str):
        raise rpc.RpcError(rpc.INVALID_PARAMS, "params.protocolVersion must be a revision")
    version = asked if asked in HANDSHAKE_VERSIONS else HANDSHAKE_VERSIONS[0]
    return version, rpc.text_of(
        {
            "protocolVersion": version,
            "capabilities": capabilities_of(catalogue, view),
            "serverInfo": SERVER_INFO,
            "instructions": _instructions(catalogue, view, instructions),
        }
    )


def discovered(catalogue: Catalogue, view: View, instructions: str) -> str:
    """The JSON text of the answer to `server/discover`."""
    return complete(
        {
            "supportedVersions": list(MODERN_VERSIONS),
            "capabilities": capabilities_of(catalogue, view),
            "instructions": _instructions(catalogue, view, instructions),
            **FRESH,
        }
    )


def complete(result: Mapping[str, Any]) -> str:
    """The JSON text of a result of the hub's own for a modern client."""
    return rpc.text_of(
        {"resultType": "complete", **result, "_meta": {f"{HOP}serverInfo": SERVER_INFO}}
    )


def _instructions(catalogue: Catalogue, view: View, instructions: str) -> str:
    if view.service is not None:
        return catalogue.offered(view.service).instructions or instructions
    profile = catalogue.profiles[view.profile]
    told = [instructions]
    if profile.description:
        told.append(f"This is the profile {view.profile}: {profile.description}")
    if profile.mode == "search":
        names = FINDERS if view.naming == "dotted" else tuple(map(safe_name, FINDERS))
        told.append(HOW_TO_FIND.format(*names))
    return " ".join(told)
