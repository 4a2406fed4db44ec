"""JSON-RPC messages, read once and written from their parts. Pure.

A part that nothing changes is never written anew: numbers keep their spelling, duplicate members
and unknown ones survive, integers of any size stay exact.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from json.decoder import scanstring  # pyright: ignore[reportUnknownVariableType, reportAttributeAccessIssue]
from typing import Any, NoReturn, cast

from flotilla.json_text import to_json

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
RESOURCE_NOT_FOUND = -32002
"""Of the handshake revisions; 2026-07-28 says INVALID_PARAMS."""
HEADER_MISMATCH = -32020
MISSING_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022
CANCELLED = -32800

STATUS_OF = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    MISSING_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
    METHOD_NOT_FOUND: 404,
}
"""The HTTP status around an error (2026-07-28, Streamable HTTP); 200 around any other."""

Id = str | int
Texts = dict[str, str]
"""The members of a JSON object, each as its own JSON text."""


class RpcError(Exception):
    """A JSON-RPC error response; `status` is that of the HTTP response around it.

    A server's own refusal is passed on as one, whatever its code.
    """

    def __init__(
        self, code: int, message: str, data: Any = None, *, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.status = STATUS_OF.get(code, 200) if status is None else status


@dataclass(slots=True)
class Message:
    """A request (`method` and `id`), a notification (`method` alone) or a response (`id` alone)."""

    method: str | None
    id: Id | None
    params: Mapping[str, Any]
    texts: Texts
    """The members of `params`, of a response those of its `result`, as they were written."""
    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None

    @property
    def meta(self) -> Mapping[str, Any]:
        found = self.params.get("_meta")
        return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]

    @property
    def is_response(self) -> bool:
        return self.method is None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_scan_string = cast("Callable[[str, int, bool], tuple[str, int]]", scanstring)
_scan_value = cast(
    "Callable[[str, int], tuple[Any, int]]",
    json.JSONDecoder(parse_constant=_refuse).scan_once,  # pyright: ignore[reportAttributeAccessIssue]
)
_BODIES = frozenset({"params", "result"})
"""The members of a message of whose own members the texts are kept; a message has one of them."""
_NONE: frozenset[str] = frozenset()
_BLANK = " \t\n\r"


def members(
    text: str, start: int = 0, inside: frozenset[str] = _NONE
) -> tuple[dict[str, Any], Texts, int, Texts]:
    """The object that starts at `start`: values, their texts, where it ends, and one more level.

    The texts of the members of the member named in `inside` come last, where that is an object; it
    has no text of its own then. Raises ValueError when there is no JSON object.
    """
    try:
        return _members(text, start, inside)
    except IndexError:
        raise ValueError("it ends too early") from None
    except StopIteration:
        raise ValueError("a value is none") from None


def _members(
    text: str, at: int, inside: frozenset[str]
) -> tuple[dict[str, Any], Texts, int, Texts]:
    # Blanks are skipped in place: it runs twice a call, and most messages have none.
    values: dict[str, Any] = {}
    texts: Texts = {}
    inner: Texts = {}
    while text[at] in _BLANK:
        at += 1
    if text[at] != "{":
        raise ValueError("not an object")
    at += 1
    while text[at] in _BLANK:
        at += 1
    if text[at] == "}":
        return values, texts, _past_blanks(text, at + 1), inner
    while True:
        if text[at] != '"':
            raise ValueError("a member has no name")
        name, at = _scan_string(text, at + 1, True)
        while text[at] in _BLANK:
            at += 1
        if text[at] != ":":
            raise ValueError("a member has no value")
        at += 1
        while text[at] in _BLANK:
            at += 1
        begin = at
        if name in inside and text[begin] == "{":
            values[name], inner, at, _ = _members(text, begin, _NONE)
        else:
            values[name], at = _scan_value(text, begin)
            texts[name] = text[begin:at]
        while text[at] in _BLANK:
            at += 1
        following = text[at]
        at += 1
        if following == "}":
            return values, texts, _past_blanks(text, at), inner
        if following != ",":
            raise ValueError("a member does not end")
        while text[at] in _BLANK:
            at += 1


def _past_blanks(text: str, at: int) -> int:
    end = len(text)
    while at < end and text[at] in _BLANK:
        at += 1
    return at


def parse(raw: bytes | bytearray) -> tuple[dict[str, Any], Texts]:
    """A whole message: its members, and the texts of those of its params or result.

    RpcError where it is none.
    """
    try:
        text = raw.decode()
        values, _, end, inner = members(text, 0, _BODIES)
    except (ValueError, RecursionError):
        raise RpcError(PARSE_ERROR, _why_not(raw)) from None
    if end != len(text):
        raise RpcError(PARSE_ERROR, "there is something behind the JSON object")
    return values, inner


def read(raw: bytes | bytearray) -> Message:
    """A message; RpcError says why it is none."""
    if raw.lstrip()[:1] == b"[":
        raise RpcError(INVALID_REQUEST, "batches are not served; send one message a request")
    values, texts = parse(raw)
    given_id, method = values.get("id"), values.get("method")
    if values.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, 'jsonrpc must be "2.0"')
    if "id" in values and (not isinstance(given_id, (str, int)) or isinstance(given_id, bool)):
        raise RpcError(INVALID_REQUEST, "id must be a string or an integer")
    if method is None and ("result" in values or "error" in values):
        result, error = _object(values, "result"), _object(values, "error")
        return Message(None, given_id, {}, texts, result, error)
    if not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, "method must be a string")
    params = values.get("params", {})
    if not isinstance(params, dict):
        raise RpcError(INVALID_PARAMS, "params must be an object")
    return Message(method, given_id, params, texts)  # pyright: ignore[reportUnknownArgumentType]


def written(texts: Mapping[str, str]) -> str:
    """The JSON text of an object of such members."""
    return "{" + ",".join([f"{_quoted(name)}:{text}" for name, text in texts.items()]) + "}"


@lru_cache(maxsize=512)
def _quoted(name: str) -> str:
    return to_json(name).decode()


def text_of(value: Any) -> str:
    return to_json(value).decode()


def request(request_id: Id, method: str, params: str) -> bytes:
    """A request around the JSON text of its params."""
    head = f'{{"jsonrpc":"2.0","id":{text_of(request_id)},"method":{text_of(method)}'
    return f'{head},"params":{params}}}'.encode()


def response(request_id: Id, result: str) -> bytes:
    """A response around the JSON text of its result."""
    return f'{{"jsonrpc":"2.0","id":{text_of(request_id)},"result":{result}}}'.encode()


def refusal(request_id: Id | None, error: RpcError) -> bytes:
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        body["data"] = error.data
    return to_json({"jsonrpc": "2.0", "id": request_id, "error": body})


def notification(method: str, params: Mapping[str, Any]) -> bytes:
    return to_json({"jsonrpc": "2.0", "method": method, "params": params})


def notice(method: str, params: Mapping[str, str]) -> bytes:
    """A notification around the texts of the members of its params."""
    return f'{{"jsonrpc":"2.0","method":{text_of(method)},"params":{written(params)}}}'.encode()


def _object(values: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    found = values.get(name)
    return found if isinstance(found, dict) else None  # pyright: ignore[reportUnknownVariableType]


def _why_not(raw: bytes | bytearray) -> str:
    return "the body is empty" if not raw.strip() else "the body is not a JSON object"
