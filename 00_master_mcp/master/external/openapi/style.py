"""Values in the places of an HTTP request, in each style that OpenAPI has for them. Pure.

The styles are those of RFC 6570 and OpenAPI 3.1's table: form, simple, label, matrix, deepObject,
spaceDelimited, pipeDelimited, exploded or not. Every value is percent-encoded, so that none of its
characters can end the place that it stands in.
"""

from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import quote

from flotilla import InvalidArgument
from flotilla.json_text import to_json

Place = Literal["path", "query", "header", "cookie"]

_STYLES: dict[Place, tuple[str, ...]] = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form",),
}
"""The first is the place's default."""

# Reserved characters that stay themselves under `allowReserved`; `#`, `&`, `+` and `=` would end a
# query's value or change it.
_RESERVED = ":/?@!$'()*,;"

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Style:
    """How a value is written: `name` is one of OpenAPI's styles."""

    name: str
    explode: bool
    allow_reserved: bool = False

    @classmethod
    def read(cls, node: dict[str, Any], place: Place) -> "Style":
        """The style that a parameter or an encoding says, or its place's default."""
        said = node.get("style")
        known = _STYLES[place]
        name = said if said in known else known[0]
        explode = node.get("explode")
        return cls(
            name=name,
            explode=explode if isinstance(explode, bool) else name in ("form", "deepObject"),
            allow_reserved=place == "query" and node.get("allowReserved") is True,
        )


def in_path(name: str, value: Any, style: Style) -> str:
    """What replaces `{name}` in a path; InvalidArgument where that would change the path."""
    match style.name:
        case "label":
            text = "." + _joined(name, value, style, "." if style.explode else ",")
        case "matrix":
            text = _matrix(name, value, style)
        case _:
            text = _joined(name, value, style, ",")
    if not text:
        # /pets/ is another operation than /pets/{id}, often one for all of them.
        raise InvalidArgument(f"{name}: must not be empty, it is a part of the path")
    return text


def in_header(name: str, value: Any, style: Style) -> str:
    """The value of a header; InvalidArgument for characters that would end it."""
    text = _joined(name, value, style, ",", encoded=False)
    if not is_header_text(text):
        raise InvalidArgument(f"{name}: a header's value takes no control characters")
    return text


def is_header_text(text: str) -> bool:
    """Whether a header's value may hold it: no character that would end it."""
    return not any((ord(each) < 32 and each != "\t") or ord(each) == 127 for each in text)


def text_of(name: str, value: Any) -> str:
    """A single value as text, numbers as in JSON; InvalidArgument for arrays and objects."""
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list)):
        raise InvalidArgument(f"{name}: nests deeper than a parameter of its style can say")
    return to_json(value).decode()


def _matrix(name: str, value: Any, style: Style) -> str:
    label = _escaped(name)
    if isinstance(value, list):
        parts = [_escaped(text_of(name, each)) for each in cast("list[Any]", value)]
        if style.explode:
            return "".join(f";{label}={part}" for part in parts)
        return f";{label}={','.join(parts)}" if parts else f";{label}"
    if isinstance(value, dict):
        pairs = _pairs(name, cast("dict[str, Any]", value))
        if style.explode:
            return "".join(f";{key}={part}" for key, part in pairs)
        return f";{label}={','.join(f'{key},{part}' for key, part in pairs)}"
    text = _escaped(text_of(name, value))
    return f";{label}={text}" if text else f";{label}"


def _joined(name: str, value: Any, style: Style, separator: str, *, encoded: bool = True) -> str:
    if isinstance(value, list):
        parts = [text_of(name, each) for each in cast("list[Any]", value)]
        return separator.join(_escaped(part) if encoded else part for part in parts)
    if isinstance(value, dict):
        between = "=" if style.explode else ("," if separator == "." else separator)
        pairs = _pairs(name, cast("dict[str, Any]", value), encoded=encoded)
        return separator.join(f"{key}{between}{part}" for key, part in pairs)
    text = text_of(name, value)
    return _escaped(text) if encoded else text


def in_pairs(name: str, value: Any, style: Style) -> Pairs:
    """Encoded names and values for a query, an urlencoded form or cookies.

    There is none for an empty array or object.
    """
    kept = _RESERVED if style.allow_reserved else ""
    label = _escaped(name)
    if isinstance(value, list):
        parts = [_escaped(text_of(name, each), kept) for each in cast("list[Any]", value)]
        if style.explode or style.name == "deepObject":
            return [(label, part) for part in parts]
        between = {"spaceDelimited": "%20", "pipeDelimited": "%7C"}.get(style.name, ",")
        return [(label, between.join(parts))] if parts else []
    if isinstance(value, dict):
        node = cast("dict[str, Any]", value)
        if style.name == "deepObject":
            return _deep(name, name, node, kept)
        pairs = _pairs(name, node, kept=kept)
        if style.explode:
            return pairs
        between = {"spaceDelimited": "%20", "pipeDelimited": "%7C"}.get(style.name, ",")
        return [(label, between.join(part for pair in pairs for part in pair))] if pairs else []
    return [(label, _escaped(text_of(name, value), kept))]


def _deep(name: str, prefix: str, value: dict[str, Any], kept: str) -> Pairs:
    """`filter[a][b]=1`, and `filter[a]=1&filter[a]=2` for an array."""
    out: Pairs = []
    for key, inner in value.items():
        place = f"{prefix}[{key}]"
        if isinstance(inner, dict):
            out += _deep(name, place, cast("dict[str, Any]", inner), kept)
            continue
        each = cast("list[Any]", inner) if isinstance(inner, list) else [inner]
        out += [(_escaped(place), _escaped(text_of(name, part), kept)) for part in each]
    return out


def _pairs(name: str, value: dict[str, Any], *, encoded: bool = True, kept: str = "") -> Pairs:
    pairs = [(key, text_of(name, inner)) for key, inner in value.items()]
    if not encoded:
        return pairs
    return [(_escaped(key), _escaped(text, kept)) for key, text in pairs]


def _escaped(text: str, kept: str = "") -> str:
    return quote(text, safe=kept)
