"""Google's JSON: errors, partial answers by `fields`, filters and pages."""

import base64
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

_REASONS = {
    400: "invalid",
    401: "authError",
    403: "forbidden",
    404: "notFound",
    409: "alreadyExists",
    412: "conditionNotMet",
    429: "rateLimitExceeded",
    503: "backendError",
}


def error_body(status: int, message: str, reason: str | None = None) -> bytes:
    told = {"message": message, "domain": "global", "reason": reason or _REASONS.get(status, "x")}
    return json.dumps({"error": {"code": status, "message": message, "errors": [told]}}).encode()


class Refused(Exception):
    """An error as Google answers it."""

    def __init__(self, status: int, message: str, reason: str | None) -> None:
        super().__init__(message)
        self.status, self.message, self.reason = status, message, reason

    def response(self) -> web.Response:
        return web.Response(
            status=self.status,
            body=error_body(self.status, self.message, self.reason),
            content_type="application/json",
            headers={"x-goog-request-id": f"request-{self.status}"},
        )


@web.middleware
async def refusing(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refusal:
        return refusal.response()


def refused(status: int, message: str, reason: str | None = None) -> Refused:
    """The answer of an error, to be raised."""
    return Refused(status, message, reason)


def not_found(path: str) -> Refused:
    return refused(404, f"The resource '{path}' was not found")


def answered(request: web.Request, value: Any) -> web.Response:
    """The JSON of it, with no more than `fields` asks for."""
    mask = request.query.get("fields")
    if mask:
        value = _masked(value, _parsed(mask))
    return web.json_response(value)


def size_of(request: web.Request, most: int = 500) -> int:
    raw = request.query.get("maxResults") or request.query.get("pageSize") or str(most)
    if not raw.isdigit() or int(raw) > most:
        raise refused(400, f"Invalid value for field 'maxResults': '{raw}'.")
    return int(raw) or most


def sliced(request: web.Request, items: Sequence[Any], size: int) -> tuple[Sequence[Any], str]:
    """A page of the items and the token of the next one; a token serves only the same query."""
    asked = request.query.get("filter", "")
    start = 0
    if token := request.query.get("pageToken"):
        try:
            start, of = json.loads(base64.urlsafe_b64decode(token))
        except ValueError:
            raise refused(400, "Invalid value for field 'pageToken'.") from None
        if of != asked:
            raise refused(400, "Invalid value for field 'pageToken': it is of another filter.")
    end = start + size
    following = ""
    if end < len(items):
        following = base64.urlsafe_b64encode(json.dumps([end, asked]).encode()).decode()
    return items[start:end], following


def filtered(request: web.Request, items: Sequence[Any]) -> Sequence[Any]:
    """Those that fit `filter`: conditions `field = value` in brackets or joined by AND."""
    text = request.query.get("filter", "").strip()
    if not text:
        return items
    tests = [_condition(each) for each in _conditions(text)]
    return [item for item in items if all(test(item) for test in tests)]


_CONDITION = re.compile(r'([A-Za-z][\w.-]*)\s*(!=|=| eq )\s*("(?:[^"\\]|\\.)*"|[^\s()"]+)\s*')


def _conditions(text: str) -> list[str]:
    while text.startswith("(") and text.endswith(")") and "(" not in text[1:-1]:
        text = text[1:-1]
    if text.startswith("("):
        parts = re.findall(r"\(((?:\"(?:[^\"\\]|\\.)*\"|[^()\"])*)\)", text)
        return [one for part in parts for one in _conditions(part)]
    return re.split(r"\s+AND\s+", text)


def _condition(text: str) -> Callable[[Any], bool]:
    found = _CONDITION.fullmatch(text.strip())
    if found is None:
        raise refused(400, "Invalid value for field 'filter': Invalid list filter expression.")
    path, operator, raw = found.groups()
    value = json.loads(raw) if raw.startswith('"') else raw

    def holds(item: Any) -> bool:
        at: Any = item
        for part in path.split(".", 1):
            at = at.get(part) if isinstance(at, dict) else None
        if operator == " eq ":
            return re.fullmatch(value, str(at)) is not None
        return (str(at) == value) == (operator == "=")

    return holds


Mask = dict[str, Any]


def _parsed(text: str) -> Mask:
    mask, rest = _level(text)
    if rest:
        raise refused(400, f"Invalid field selection {rest}", "invalidParameter")
    return mask


def _level(text: str) -> tuple[Mask, str]:
    mask: Mask = {}
    while text and text[0] != ")":
        found = re.match(r"[\w*-]+(?:/[\w*-]+)*", text)
        if found is None:
            raise refused(400, f"Invalid field selection {text}", "invalidParameter")
        text = text[found.end() :]
        inner: Mask = {}
        if text.startswith("("):
            inner, text = _level(text[1:])
            if not text.startswith(")"):
                raise refused(400, "Invalid field selection", "invalidParameter")
            text = text[1:]
        into = mask
        *path, name = found[0].split("/")
        for part in path:
            into = into.setdefault(part, {})
        into.setdefault(name, {}).update(inner)
        text = text.removeprefix(",")
    return mask, text


def _masked(value: Any, mask: Mask) -> Any:
    if not mask:
        return value
    if isinstance(value, list):
        return [_masked(each, mask) for each in value]
    if not isinstance(value, dict):
        return value
    if "*" in mask:
        return {name: _masked(each, mask["*"]) for name, each in value.items()}
    return {name: _masked(value[name], inner) for name, inner in mask.items() if name in value}
