"""Resource Graph of the pretended Azure: a small part of KQL, and an error for all the rest."""

import re
from typing import Any

from tests.backends.azure.estate import Json, Refused
from tests.backends.azure.exchange import Reply, Request

_TEXT = r"'((?:[^'\\]|\\.)*)'"
_WHERE = re.compile(rf"where\s+([\w.]+)\s*(=~|==)\s*{_TEXT}", re.I)
_WHERE_NOT = re.compile(rf"where\s+([\w.]+)\s*(!~|!=)\s*{_TEXT}", re.I)
_IN = re.compile(r"where\s+(?:tolower\()?([\w.]+)\)?\s+(!?in~?)\s*\((.*)\)", re.I | re.S)
_PROJECT = re.compile(r"project\s+(.+)", re.I | re.S)
_ORDER = re.compile(r"order\s+by\s+([\w.]+)(?:\s+(asc|desc))?", re.I)
_COUNT = re.compile(r"summarize\s+count\(\)\s+by\s+([\w.]+)", re.I)
_TAKE = re.compile(r"(?:take|limit)\s+(\d+)", re.I)


def query(request: Request) -> Reply:
    body: Json = request.body or {}
    options: Json = body.get("options") or {}
    scopes = [each.lower() for each in body.get("subscriptions") or request.estate.subscriptions]
    for each in scopes:
        if each not in request.estate.subscriptions:
            raise Refused(403, "AuthorizationFailed", f"No access to subscription {each}.")
    rows = _run(body.get("query", ""), request, scopes)
    start = 0
    if (token := options.get("$skipToken")) is not None:
        if not re.fullmatch(r"arg\d+", token):
            raise Refused(400, "BadRequest", "The skip token is not valid.")
        start = int(token[3:])
    top = int(options.get("$top", 1000))
    if not 1 <= top <= 1000:
        raise Refused(400, "BadRequest", "$top must be from 1 to 1000.")
    data = rows[start : start + top]
    answer: Json = {
        "totalRecords": len(rows),
        "count": len(data),
        "data": data,
        "facets": [],
        "resultTruncated": "false",
    }
    if start + top < len(rows):
        # Azure pages only what shows an ID; the rest is cut.
        if data and "id" in data[0]:
            answer["$skipToken"] = f"arg{start + top}"
        else:
            answer["resultTruncated"] = "true"
    return Reply(body=answer)


def _in(request: Request, scopes: list[str]) -> list[Json]:
    return [each for scope in scopes for each in request.estate.below(f"/subscriptions/{scope}")]


def _row(resource: Json, request: Request) -> Json:
    parts = resource["id"].split("/")
    row = {
        **resource,
        "type": resource["type"].lower(),
        "resourceGroup": parts[4].lower(),
        "subscriptionId": parts[2],
        "tags": resource.get("tags"),
    }
    power = request.estate.power.get(resource["id"].lower())
    if power:
        state = {"instanceView": {"powerState": {"code": f"PowerState/{power}"}}}
        row["properties"] = {**row["properties"], "extended": state}
    return row


def _containers(request: Request, scopes: list[str]) -> list[Json]:
    return [
        {**each, "type": "microsoft.resources/subscriptions/resourcegroups"}
        for scope in scopes
        for each in request.estate.groups(scope)
    ]


def _run(text: str, request: Request, scopes: list[str]) -> list[Json]:
    parts = [part.strip() for part in re.split(r"\|(?=(?:[^']*'[^']*')*[^']*$)", text)]
    match parts[0].lower():
        case "resources":
            rows = [_row(each, request) for each in _in(request, scopes)]
        case "resourcecontainers":
            rows = _containers(request, scopes)
        case other:
            raise _invalid(f"Table '{other}' is not known")
    for part in parts[1:]:
        rows = _step(part, rows)
    return rows


def _step(part: str, rows: list[Json]) -> list[Json]:
    if found := _WHERE.fullmatch(part):
        return [each for each in rows if _equal(each, found, fold=found[2] == "=~")]
    if found := _WHERE_NOT.fullmatch(part):
        return [each for each in rows if not _equal(each, found, fold=found[2] == "!~")]
    if found := _IN.fullmatch(part):
        wanted = {_plain(each).lower() for each in re.findall(_TEXT, found[3])}
        inside = not found[2].startswith("!")
        return [each for each in rows if (str(_at(each, found[1])).lower() in wanted) == inside]
    if found := _COUNT.fullmatch(part):
        counts: dict[Any, int] = {}
        for each in rows:
            counts[_at(each, found[1])] = counts.get(_at(each, found[1]), 0) + 1
        return [{found[1]: key, "count_": number} for key, number in counts.items()]
    if found := _ORDER.fullmatch(part):
        down = (found[2] or "desc").lower() == "desc"
        return sorted(rows, key=lambda each: str(_at(each, found[1])), reverse=down)
    if found := _TAKE.fullmatch(part):
        return rows[: int(found[1])]
    if found := _PROJECT.fullmatch(part):
        return [_projected(each, found[1]) for each in rows]
    raise _invalid(f"the step '{part[:60]}' is not understood")


def _projected(row: Json, columns: str) -> Json:
    shown: Json = {}
    for column in (each.strip() for each in columns.split(",")):
        name, _, source = column.partition("=")
        path = source.strip() or name.strip()
        if cast := re.fullmatch(r"(?:tostring|tolower|toint)\(([\w.]+)\)", path):
            path = cast[1]
        if not re.fullmatch(r"[\w.]+", path):
            raise _invalid(f"the column '{column[:60]}' is not understood")
        shown[name.strip()] = _at(row, path)
    return shown


def _equal(row: Json, found: re.Match[str], *, fold: bool) -> bool:
    value, wanted = str(_at(row, found[1])), _plain(found[3])
    return value.lower() == wanted.lower() if fold else value == wanted


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _at(row: Json, path: str) -> Any:
    value: Any = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _invalid(why: str) -> Refused:
    return Refused(400, "BadRequest", f"Please provide below info when asking for support. {why}.")
