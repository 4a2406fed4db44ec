"""Where the arguments of a tool hold files, by its input schema, and what they hold. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from flotilla import FlotillaError, TooLarge, meta
from master.files.rule import BLOB, TEXT, File, Rule

_BASE64_FORMATS = frozenset({"byte", "base64", "base64url"})
_MAX_DEPTH = 12
_MAX_NODES = 5000
"""Of one schema: strangers write them, and references make a small one endless."""
_DATA_URL_CHARS = 200
"""Of the head of a data URL that is looked at."""


@dataclass(slots=True)
class Spot:
    """What a place in the arguments may hold: a file itself, or members and items that do."""

    kind: Literal["base64", "text"] | None = None
    type: str | None = None
    members: dict[str, "Spot"] = field(default_factory=dict[str, "Spot"])
    others: "Spot | None" = None
    """Of the members that have no name in the schema."""
    items: "Spot | None" = None

    @property
    def empty(self) -> bool:
        return not (self.kind or self.members or self.others or self.items)


def spots_of(schema: Any) -> Spot | None:
    """Where files are; None where nowhere."""
    spot = Spot()
    _Reader(schema).read(schema, spot, 0)
    return None if spot.empty else spot


def files_in(value: Any, spot: Spot, where: str = "") -> Iterator[tuple[str, File]]:
    """The files at these spots, each with its place (`files[2].data`)."""
    if isinstance(value, str):
        if spot.kind is not None:
            yield where, _file(value, spot, spot.type)
    elif isinstance(value, list) and spot.items is not None:
        for at, each in enumerate(cast("list[Any]", value)):
            yield from files_in(each, spot.items, f"{where}[{at}]")
    elif isinstance(value, Mapping):
        given = cast("Mapping[str, Any]", value)
        said = given.get("mimeType")
        for name, each in given.items():
            inner = spot.members.get(name, spot.others)
            place = f"{where}.{name}" if where else name
            if inner is None:
                continue
            if isinstance(each, str) and inner.kind is not None:
                beside = said if isinstance(said, str) else inner.type
                yield place, _file(each, inner, beside)
            else:
                yield from files_in(each, inner, place)


def check(text: str, arguments: Mapping[str, Any], spot: Spot | None, rule: Rule) -> None:
    """TooLarge or NotAllowed for arguments (`text` as they were written) that may not go on."""
    most = rule.most_arguments_bytes
    # A character has at most four bytes; most texts need not be encoded to be told small enough.
    if len(text) * 4 > most and (size := len(text.encode(errors="surrogatepass"))) > most:
        raise TooLarge(
            f"the arguments have {size} bytes; {most} may be sent on",
            hint=f"services.yaml: {rule.setting}.max_file_size sets the limit.",
        )
    if spot is None:
        return
    for where, file in files_in(arguments, spot):
        objection = rule.objection(file)
        if objection is not None:
            raise _at(where, objection)


def _at(where: str, objection: FlotillaError) -> FlotillaError:
    return type(objection)(f"argument {where[:100]!r}: {objection.message}", hint=objection.hint)


def _file(text: str, spot: Spot, said: str | None) -> File:
    if text.startswith("data:"):
        head, comma, rest = text[:_DATA_URL_CHARS].partition(",")
        if comma:
            said = head.removeprefix("data:").partition(";")[0] or TEXT
            size = _decoded(text[len(head) + 1 :]) if ";base64" in head else len(rest.encode())
            return File(size, (said,))
    if spot.kind == "base64":
        return File(_decoded(text), (said or BLOB,))
    size = len(text.encode(errors="surrogatepass"))
    return File(size, (said or TEXT,))


def _decoded(base64: str) -> int:
    """How many bytes a base64 text stands for, without decoding it; blanks count for nothing."""
    chars = len(base64) - sum(base64.count(blank) for blank in "\n\r \t")
    return chars * 3 // 4 - base64[-4:].count("=")


class _Reader:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = _MAX_NODES

    def read(self, schema: Any, into: Spot, depth: int) -> None:
        """Put into the spot what this schema says of it."""
        node = meta.members(schema)
        self._left -= 1
        if not node or self._left < 0 or depth > _MAX_DEPTH:
            return
        self._own(node, into)
        for name, each in meta.members(node.get("properties")).items():
            spot = into.members.get(name) or Spot()
            self.read(each, spot, depth + 1)
            if not spot.empty:
                into.members[name] = spot
        into.others = self._below(node.get("additionalProperties"), into.others, depth)
        into.items = self._below(node.get("items"), into.items, depth)
        for key in ("anyOf", "oneOf", "allOf"):
            for each in _list(node.get(key)):
                self.read(each, into, depth + 1)
        if isinstance(reference := node.get("$ref"), str):
            self.read(self._at(reference), into, depth + 1)

    def _own(self, node: Mapping[str, Any], into: Spot) -> None:
        written, form, said = (
            node.get(key) for key in ("contentEncoding", "format", "contentMediaType")
        )
        if isinstance(said, str):
            into.type = said
        if form in _BASE64_FORMATS or str(written).lower() in ("base64", "base64url"):
            into.kind = "base64"
        elif form == "binary" or isinstance(said, str):
            into.kind = into.kind or "text"
            into.type = into.type or BLOB

    def _below(self, schema: Any, known: Spot | None, depth: int) -> Spot | None:
        spot = known or Spot()
        self.read(schema, spot, depth + 1)
        return None if spot.empty else spot

    def _at(self, reference: str) -> Any:
        """What a reference within the schema names; None for any other."""
        if not reference.startswith("#/"):
            return None
        found = self._root
        for part in reference[2:].split("/"):
            found = meta.members(found).get(part.replace("~1", "/").replace("~0", "~"))
        return found


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
