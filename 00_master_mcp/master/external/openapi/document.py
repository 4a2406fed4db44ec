"""An OpenAPI document as it was read: its version, its members, and its references within. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any, cast
from urllib.parse import unquote

from flotilla import InvalidArgument, TooLarge
from flotilla.json_text import from_json
from master.external.openapi.yaml_text import BadYaml, read_yaml

MAX_BYTES = 16 * 1024 * 1024
"""GitHub's own document, among the largest there are, has 13 MB."""
MAX_NODES = 1_000_000
"""GitHub's has 258,000."""
MAX_NESTING = 100
MAX_WORK = 4_000_000
"""Members of schemas read, and bytes of schemas measured by the ten; GitHub's takes 400,000."""
MAX_CHAIN = 32
"""A reference to a reference to a reference: nobody's document needs more."""


class BadDocument(InvalidArgument):
    """The document cannot be read as OpenAPI 3.0 or 3.1; the message says where and why."""


class BadReference(ValueError):
    """A `$ref` that leads nowhere, round in a circle, or out of the document."""


@dataclass
class Work:
    """What reading a document has cost so far: references let little text ask for much work."""

    done: int = 0

    def spend(self, steps: int) -> None:
        """Raises TooLarge when the document asks for more than it may."""
        self.done += steps
        if self.done > MAX_WORK:
            raise TooLarge("the OpenAPI document asks for too much work by its references")


@dataclass(frozen=True)
class Document:
    """`root` is the document's JSON; `old` tells 3.0, whose schemas are not JSON Schema yet."""

    root: Mapping[str, Any]
    version: str
    old: bool
    work: Work = field(default_factory=Work, repr=False, compare=False)

    def afresh(self) -> "Document":
        """The same document, with nothing done yet."""
        return replace(self, work=Work())

    @property
    def title(self) -> str:
        return text_of(members(self.root.get("info")).get("title")) or "API"

    def at(self, reference: str) -> Any:
        """What a `$ref` names; BadReference when it names nothing in this document."""
        value: Any = self.root
        for part in pointer_parts(reference):
            if isinstance(value, dict) and part in value:
                value = cast("dict[str, Any]", value)[part]
            elif isinstance(value, list) and part.isdecimal() and len(part) < 9:
                found = cast("list[Any]", value)[int(part) : int(part) + 1]
                if not found:
                    raise BadReference(f"`$ref` {shown(reference)} names nothing in the document")
                value = found[0]
            else:
                raise BadReference(f"`$ref` {shown(reference)} names nothing in the document")
        return value

    def resolved(self, value: Any) -> dict[str, Any]:
        """`value` with its `$ref`, and those that this leads to, followed; {} if no object."""
        for _ in range(MAX_CHAIN):
            self.work.spend(1)
            node = members(value)
            reference = node.get("$ref")
            if not isinstance(reference, str):
                return node
            value = self.at(reference)
        raise BadReference(f"`$ref` leads on for over {MAX_CHAIN} steps, or round in a circle")


def load(source: str | bytes) -> Document:
    """Read the JSON or YAML text of an OpenAPI 3.0 or 3.1 document.

    The largest take seconds: run it in a thread. Raises TooLarge over 16 MiB or 1,000,000 values
    (YAML aliases counted as often as they are used), BadDocument for anything that is not such a
    document.
    """
    raw = source.encode(errors="surrogatepass") if isinstance(source, str) else source
    if len(raw) > MAX_BYTES:
        raise TooLarge(
            f"the OpenAPI document has {len(raw)} bytes; {MAX_BYTES} are read at most",
            hint="Cut it to the paths that you need.",
        )
    root = _parsed(raw)
    if not isinstance(root, dict):
        raise BadDocument("the OpenAPI document is no object at its top")
    document = cast("dict[str, Any]", root)
    _check_extent(document)
    version = _version(document)
    return Document(root=document, version=version, old=version.startswith("3.0"))


def members(value: Any) -> dict[str, Any]:
    """`value` where it is an object, else an empty one: strangers wrote the document."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def elements(value: Any) -> list[Any]:
    """`value` where it is an array, else an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def text_of(value: Any) -> str:
    """`value` where it is text, else an empty one."""
    return value if isinstance(value, str) else ""


def shown(text: str) -> str:
    """A stranger's text as it may stand in a message."""
    return repr(text if len(text) <= 120 else text[:117] + "...")


def pointer_parts(reference: str) -> list[str]:
    """The keys of a local reference (RFC 6901 in a fragment); BadReference for other kinds."""
    if not reference.startswith("#"):
        raise BadReference(
            f"`$ref` {shown(reference)} leads out of the document; bundle the document into one "
            "file first"
        )
    if reference == "#":
        return []
    if not reference.startswith("#/"):
        raise BadReference(
            f"`$ref` {shown(reference)} names an anchor; only JSON pointers (#/...) are followed"
        )
    return [
        unquote(part).replace("~1", "/").replace("~0", "~") for part in reference[2:].split("/")
    ]


def _parsed(raw: bytes) -> Any:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadDocument(f"the OpenAPI document is not UTF-8 at byte {error.start}") from None
    if text.lstrip()[:1] in ("{", "["):
        try:
            return from_json(text.encode())
        except ValueError as error:
            json_mistake = str(error)
    else:
        json_mistake = ""
    try:
        return read_yaml(text, max_nodes=MAX_NODES, max_depth=MAX_NESTING)
    except BadYaml as error:
        # What begins like JSON was most likely meant to be JSON.
        said = f"JSON: {json_mistake}" if json_mistake else f"YAML: {error}"
        raise BadDocument(f"the OpenAPI document is no valid {said}") from None


def _check_extent(root: dict[str, Any]) -> None:
    seen = 0
    layer: list[Any] = [root]
    for depth in range(MAX_NESTING + 1):
        if depth == MAX_NESTING:
            raise BadDocument(f"the OpenAPI document is nested over {MAX_NESTING} levels deep")
        layer = [inner for value in layer for inner in _inside(value)]
        seen += len(layer)
        if seen > MAX_NODES:
            raise TooLarge(f"the OpenAPI document holds over {MAX_NODES} values")
        if any(isinstance(value, float) and not isfinite(value) for value in layer):
            raise BadDocument("the OpenAPI document has a number that is too large to be JSON")
        layer = [value for value in layer if isinstance(value, (dict, list))]
        if not layer:
            return


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        return iter(cast("dict[str, Any]", value).values())
    return iter(elements(value))


def _version(root: dict[str, Any]) -> str:
    if "swagger" in root:
        raise BadDocument(
            f"this is a Swagger {str(root['swagger'])[:10]} document; only OpenAPI 3.0 and 3.1 are "
            "read",
            hint="Convert it to OpenAPI 3 first, say with `npx swagger2openapi`.",
        )
    said = root.get("openapi")
    # In YAML an unquoted 3.1 is a number.
    version = str(said) if isinstance(said, (str, int, float)) else ""
    if version.split(".")[:2] not in (["3", "0"], ["3", "1"]):
        found = shown(version) if version else "missing"
        raise BadDocument(
            f"the member `openapi` is {found}; OpenAPI 3.0 and 3.1 are read",
        )
    return version
