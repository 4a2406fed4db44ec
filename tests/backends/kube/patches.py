"""Patches as an API server does them: RFC 7396, RFC 6902, and the strategic one by list keys."""

import copy
from typing import Any

Object = dict[str, Any]


class BadPatch(Exception):
    """A JSON patch that does not fit the object."""


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    found: Object = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


def strategic(target: Any, patch: Any) -> Any:
    """As a merge patch, but lists of maps that have names are merged by their names."""
    if isinstance(patch, list) and is_by_name(patch) and isinstance(target, list):
        found = {each["name"]: each for each in target}
        for each in patch:
            if each.get("$patch") == "delete":
                found.pop(each["name"], None)
            else:
                found[each["name"]] = strategic(found.get(each["name"]), each)
        return list(found.values())
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result: Object = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = strategic(result.get(key), value)
    return result


def is_by_name(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, dict) and "name" in each for each in value)
    )


def json_patched(target: Any, operations: list[Object]) -> Any:
    """RFC 6902 with what is used of it: test, add, replace, remove."""
    found = copy.deepcopy(target)
    for each in operations:
        *way, last = [
            part.replace("~1", "/").replace("~0", "~") for part in each["path"].split("/")[1:]
        ]
        node = found
        for part in way:
            try:
                node = node[int(part)] if isinstance(node, list) else node[part]
            except (KeyError, IndexError, ValueError):
                raise BadPatch(f"path {each['path']} does not exist") from None
        _operate(node, last, each)
    return found


def _operate(node: Any, last: str, each: Object) -> None:
    op = each["op"]
    if isinstance(node, list):
        if op == "add":
            node.insert(len(node) if last == "-" else int(last), each["value"])
            return
        at: Any = int(last)
        there = at < len(node)
    else:
        at, there = last, last in node
    if op == "test":
        if not there or node[at] != each["value"]:
            raise BadPatch(f"testing value {each['path']} failed")
    elif op == "remove" and there:
        del node[at]
    elif op == "add" or (op == "replace" and there):
        node[at] = each["value"]
    else:
        raise BadPatch(f"{op} operation does not apply: doc is missing path: {each['path']}")
