"""From the arguments of a call to the request that the API gets. Pure."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote

from flotilla import InvalidArgument
from flotilla.json_text import to_json
from master.external.openapi import style
from master.external.openapi.operation import Body, Member, Operation, Parameter
from master.external.openapi.parameters import filled

_ITEMS = style.Style("form", explode=True)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request without its origin and credentials; everything in it is encoded."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...]
    cookies: tuple[tuple[str, str], ...]
    content_type: str | None
    body: bytes | None


def prepare(operation: Operation, arguments: Mapping[str, Any], *, boundary: str) -> Prepared:
    """The request; `arguments` fit the input schema, `boundary` parts a multipart body.

    Raises InvalidArgument for a value that has no form in its place, and for one that would make
    the path another path.
    """
    path: dict[str, str] = {}
    query: style.Pairs = []
    headers: list[tuple[str, str]] = []
    cookies: style.Pairs = []
    for parameter in operation.parameters:
        value = _given(parameter, arguments)
        if value is None:
            continue
        match parameter.place:
            case "path":
                path[parameter.name] = style.in_path(parameter.name, value, parameter.style)
            case "query":
                query += style.in_pairs(parameter.name, value, parameter.style)
            case "header":
                text = style.in_header(parameter.name, value, parameter.style)
                headers.append((parameter.name, text))
            case "cookie":
                pairs = style.in_pairs(parameter.name, value, parameter.style)
                # A cookie's name is a token already, and a server does not decode it.
                own = quote(parameter.name, safe="")
                cookies += [(parameter.name if name == own else name, text) for name, text in pairs]
    full_path = _encoded_template(filled(operation.path, path))
    if any(part in (".", "..") for part in full_path.split("/")):
        raise InvalidArgument("a part of the path must not be `.` or `..`")
    content_type, body = _body(operation.body, arguments, boundary)
    return Prepared(
        method=operation.method.upper(),
        path=full_path,
        query=tuple(query),
        headers=tuple(headers),
        cookies=tuple(cookies),
        content_type=content_type,
        body=body,
    )


def query_string(pairs: Iterable[tuple[str, str]]) -> str:
    """Encoded pairs as a query."""
    return "&".join(f"{name}={value}" for name, value in pairs)


def _given(parameter: Parameter, arguments: Mapping[str, Any]) -> Any:
    value = arguments.get(parameter.argument)
    if value is None and parameter.place == "path":
        raise InvalidArgument(f"{parameter.argument}: must not be null, it is a part of the path")
    if value is not None and parameter.as_json:
        return to_json(value).decode()
    return value


def _encoded_template(path: str) -> str:
    """What the document wrote unencoded; what values brought is encoded already."""
    return quote(path, safe="/%:@!$&'()*+,;=-._~")


def _body(
    body: Body | None, arguments: Mapping[str, Any], boundary: str
) -> tuple[str | None, bytes | None]:
    """The content type and the bytes; none where the caller gave nothing that had to be."""
    if body is None:
        return None, None
    if body.argument is not None:
        if body.argument not in arguments:
            return None, None
        value = arguments[body.argument]
    else:
        value = {
            each.name: arguments[each.argument]
            for each in body.members
            if each.argument in arguments
        }
        if not value and not body.required:
            return None, None
    match body.kind:
        case "json":
            return body.media_type, to_json(value)
        case "text":
            charset = "" if "charset=" in body.media_type.lower() else "; charset=utf-8"
            return f"{body.media_type}{charset}", str(value).encode()
        case "binary":
            return body.media_type, _bytes_of(body.argument or "body", value)
        case "form":
            pairs = _form_pairs(_members(body, value))
            return body.media_type, query_string(pairs).encode()
        case "multipart":
            bare = body.media_type.partition(";")[0].strip()
            content = _multipart(_members(body, value), boundary)
            return f"{bare}; boundary={boundary}", content


def _members(body: Body, value: Any) -> list[tuple[Member, Any]]:
    known = {each.name: each for each in body.members}
    given = cast("dict[str, Any]", value).items()
    return [
        (known.get(name, Member(name, name)), inner) for name, inner in given if inner is not None
    ]


def _form_pairs(given: list[tuple[Member, Any]]) -> style.Pairs:
    pairs: style.Pairs = []
    for member, value in given:
        written = value
        if member.style is None and _is_complex(value):
            written = to_json(value).decode()
        pairs += style.in_pairs(member.name, written, member.style or _ITEMS)
    return pairs


def _is_complex(value: Any) -> bool:
    """An object, or an array of anything but single values: those go as JSON."""
    if isinstance(value, list):
        return any(isinstance(each, (dict, list)) for each in cast("list[Any]", value))
    return isinstance(value, dict)


def _multipart(given: list[tuple[Member, Any]], boundary: str) -> bytes:
    """RFC 7578; an array is one part for each of its items."""
    lines: list[bytes] = []
    for member, value in given:
        each = cast("list[Any]", value) if isinstance(value, list) else [value]
        for part in each:
            kind, content = _part(member, part)
            said = f'form-data; name="{_quoted(member.name)}"'
            if member.upload:
                said += f'; filename="{_quoted(member.name)}"'
            head = f"--{boundary}\r\nContent-Disposition: {said}\r\nContent-Type: {kind}\r\n\r\n"
            lines += [head.encode(), content, b"\r\n"]
    return b"".join([*lines, f"--{boundary}--\r\n".encode()])


def _part(member: Member, value: Any) -> tuple[str, bytes]:
    if member.upload:
        kind = member.content_type or "application/octet-stream"
        return kind, _bytes_of(member.argument, value)
    if isinstance(value, (dict, list)):
        return member.content_type or "application/json", to_json(value)
    text = style.text_of(member.name, value)
    return member.content_type or "text/plain; charset=utf-8", text.encode()


def _quoted(name: str) -> str:
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _bytes_of(argument: str, value: Any) -> bytes:
    try:
        return base64.b64decode(str(value).encode(), validate=True)
    except binascii.Error:
        raise InvalidArgument(f"{argument}: must be base64") from None
