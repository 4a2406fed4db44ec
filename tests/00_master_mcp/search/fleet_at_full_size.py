"""The tools of the whole fleet: those that services offer, and the planned ones that none does."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
GOLDEN = HERE.parents[1] / "fleet" / "golden"
PAGE = {
    "limit": {
        "default": 50,
        "description": "How many items to return at most.",
        "maximum": 500,
        "minimum": 1,
        "type": "integer",
    },
    "cursor": {
        "maxLength": 2048,
        "type": "string",
        "description": "`nextCursor` of the page before; leave out for the first.",
    },
}


def real_tools() -> list[dict[str, Any]]:
    files = sorted(GOLDEN.glob("*.json"))
    return [tool for file in files for tool in json.loads(file.read_text(encoding="utf-8"))]


def planned_tools() -> list[dict[str, Any]]:
    planned = yaml.safe_load((HERE / "planned_tools.yaml").read_text(encoding="utf-8"))
    return [
        _listed(f"{namespace}.{action}", plan)
        for namespace, actions in planned.items()
        for action, plan in actions.items()
    ]


def all_tools() -> list[dict[str, Any]]:
    """As `tools/list` would show them under canonical names, without output schemas if planned."""
    real = real_tools()
    known = {tool["name"] for tool in real}
    return [*real, *(tool for tool in planned_tools() if tool["name"] not in known)]


def requests() -> dict[str, list[dict[str, Any]]]:
    """`tune` and `held_out`: what was asked, and the names of the right tools."""
    return yaml.safe_load((HERE / "requests.yaml").read_text(encoding="utf-8"))


def _listed(name: str, plan: Mapping[str, Any]) -> dict[str, Any]:
    properties = {
        key: {"type": "string", "description": told}
        for key, told in plan["takes"].items()
        if key != "...page"
    }
    if "...page" in plan["takes"]:
        properties |= PAGE
    return {
        "name": name,
        "title": plan["title"],
        "description": plan["says"],
        "inputSchema": {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
        },
        "annotations": {
            "readOnlyHint": plan["kind"] == "R",
            "destructiveHint": plan["kind"] == "D",
            "idempotentHint": plan["kind"] == "R",
            "openWorldHint": False,
        },
        "_meta": {"io.flotilla/name": name},
    }
