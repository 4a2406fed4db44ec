"""Reads the request bodies of operations. Pure.

The members of a JSON body or a form become arguments of their own where the body is an object with
named members and none of them is called like a parameter; else one argument holds the whole body.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flotilla.json_text import to_json
from master.external.openapi.document import Document, elements, members, text_of
from master.external.openapi.naming import argument_name
from master.external.openapi.operation import Body, BodyKind, Member
from master.external.openapi.parameters import BadOperation
from master.external.openapi.schema import JsonSchema, Translator
from master.external.openapi.style import Style

_KINDS: tuple[BodyKind, ...] = ("json", "form", "multipart", "text", "binary")
"""The most telling first: where a document offers several media types, the first kind is taken."""

_TEXTUAL = ("xml", "yaml", "ndjson", "jsonl", "graphql", "javascript", "csv", "sql")
# What an object may say beside its members and still be its members and no more.
_MERE_OBJECT = frozenset(
    """
    type properties required allOf title description example examples externalDocs xml deprecated
    nullable additionalProperties default discriminator $schema $comment
    """.split()  # noqa: SIM905
)
_MAX_MEMBERS = 300
_MAX_MEDIA_TYPES = 50
_MAX_PARTS = 100
"""Of an `allOf` within an `allOf`: they multiply."""


@dataclass(frozen=True, slots=True)
class ReadBody:
    """A body, and the schema of each argument that it takes."""

    body: Body
    schemas: dict[str, JsonSchema]
    required: tuple[str, ...]


def kind_of(media_type: str) -> BodyKind:
    """How the content of a media type is written."""
    bare = media_type.partition(";")[0].strip().lower()
    if bare.endswith(("/json", "+json")) or bare in ("*/*", "application/*"):
        return "json"
    if bare == "application/x-www-form-urlencoded":
        return "form"
    if bare.startswith("multipart/"):
        return "multipart"
    if bare.startswith("text/") or any(word in bare for word in _TEXTUAL):
        return "text"
    return "binary"


def read_body(
    document: Document, translator: Translator, value: Any, taken: frozenset[str]
) -> ReadBody | None:
    """The body of an operation, None where it has none; `taken` are its parameters' arguments."""
    node = document.resolved(value)
    content = members(node.get("content"))
    if not content:
        return None
    if len(content) > _MAX_MEDIA_TYPES:
        raise BadOperation(f"its body may be of over {_MAX_MEDIA_TYPES} media types")
    media_type = min(content, key=lambda each: _KINDS.index(kind_of(each)))
    kind = kind_of(media_type)
    media = members(content[media_type])
    sent_as = "application/json" if "*" in media_type else media_type.strip()
    if not sent_as.isprintable() or not sent_as.isascii():
        raise BadOperation("the media type of its body is no media type")
    required = node.get("required") is True
    schema = media.get("schema", {})
    if kind in ("json", "form", "multipart"):
        lifted = _lifted(document, translator, kind, sent_as, media, required, taken)
        if lifted is not None:
            return lifted
    argument = "body" if "body" not in taken else "requestBody"
    whole: JsonSchema = translator.schema(schema)
    if kind == "binary":
        whole = _base64(document.resolved(schema))
    elif kind == "text":
        whole = {"type": "string", **_described(document.resolved(schema))}
    elif kind != "json":
        whole = {"type": "object", **(whole if isinstance(whole, dict) else {})}
    description = text_of(node.get("description")).strip()
    if description and isinstance(whole, dict) and not translator.terse:
        whole = {"description": description, **whole}
    return ReadBody(
        body=Body(kind, sent_as, required, argument, ()),
        schemas={argument: whole},
        required=(argument,) if required else (),
    )


def _lifted(
    document: Document,
    translator: Translator,
    kind: BodyKind,
    media_type: str,
    media: dict[str, Any],
    required: bool,
    taken: frozenset[str],
) -> ReadBody | None:
    merged = _mere_object(document, media.get("schema"))
    if merged is None:
        return None
    schema = translator.schema(merged)
    named = members(members(schema).get("properties"))
    needed = [str(name) for name in elements(members(schema).get("required"))]
    arguments = {name: argument_name(name) for name in named}
    distinct = set(arguments.values())
    if not named or len(named) > _MAX_MEMBERS or not set(needed) <= named.keys():
        return None
    if len(distinct) < len(named) or distinct & taken:
        return None
    if needed and not required:
        # The caller may leave out the whole body, but no single member of it.
        return None
    raw = members(merged["properties"])
    encodings = members(media.get("encoding"))
    read: list[Member] = []
    schemas: dict[str, JsonSchema] = {}
    for name, argument in arguments.items():
        encoding = members(encodings.get(name))
        whole = document.resolved(raw[name])
        upload = kind == "multipart" and _is_upload(document, whole, encoding)
        schemas[argument] = _uploaded(document, whole) if upload else named[name]
        read.append(
            Member(
                argument=argument,
                name=name,
                content_type=_content_type(encoding),
                style=Style.read(encoding, "query") if "style" in encoding else None,
                upload=upload,
            )
        )
    return ReadBody(
        body=Body(kind, media_type, required, None, tuple(read)),
        schemas=schemas,
        required=tuple(arguments[name] for name in needed),
    )


def _mere_object(document: Document, schema: Any) -> dict[str, Any] | None:
    """One object with the members of `schema` and of all its `allOf`; None if it is more."""
    named: dict[str, Any] = {}
    required: list[Any] = []
    for count, part in enumerate(_parts(document, schema, depth=0)):
        if part is None or count > _MAX_PARTS:
            return None
        if len(members(part.get("properties"))) > _MAX_MEMBERS:
            return None
        for name, inner in members(part.get("properties")).items():
            if name in named and to_json(named[name]) != to_json(inner):
                return None
            named[name] = inner
        required += elements(part.get("required"))
    return {"type": "object", "properties": named, "required": required}


def _parts(document: Document, schema: Any, *, depth: int) -> Iterator[dict[str, Any] | None]:
    node = document.resolved(schema)
    told = {key for key in node if not key.startswith("x-")}
    closed = node.get("additionalProperties", False) is False
    many = bool(elements(node.get("allOf"))) or depth > 0
    is_object = node.get("type") == "object" or ("type" not in node and bool(told))
    if (
        not (told <= _MERE_OBJECT and closed and is_object)
        or node.get("nullable") is True
        or (many and "additionalProperties" in node)
        or depth > 8
    ):
        yield None
        return
    yield node
    for part in elements(node.get("allOf"))[:50]:
        yield from _parts(document, part, depth=depth + 1)


def _is_upload(document: Document, node: dict[str, Any], encoding: dict[str, Any]) -> bool:
    """3.0 says `format: binary`; 3.1 a media type without an encoding, or nothing at all."""
    if node.get("type") == "array":
        return _is_upload(document, document.resolved(node.get("items")), encoding)
    if node.get("type") == "string":
        if "contentEncoding" in node:
            return False
        return node.get("format") == "binary" or "contentMediaType" in node
    said = _content_type(encoding)
    empty = not node.keys() - {"description", "title", "example", "examples"}
    return empty and (said is None or kind_of(said) == "binary")


def _uploaded(document: Document, node: dict[str, Any]) -> dict[str, Any]:
    if node.get("type") != "array":
        return _base64(node)
    items = _base64(document.resolved(node.get("items")))
    return {"type": "array", "items": items, **_described(node)}


def _base64(node: dict[str, Any]) -> dict[str, Any]:
    told = text_of(node.get("description")).strip()
    return {
        "type": "string",
        "contentEncoding": "base64",
        "description": f"{told} (base64)" if told else "The bytes in base64.",
    }


def _described(node: dict[str, Any]) -> dict[str, Any]:
    told = text_of(node.get("description")).strip()
    return {"description": told} if told else {}


def _content_type(encoding: dict[str, Any]) -> str | None:
    """The first that the document allows, where it is a single one and can stand in a header."""
    said = text_of(encoding.get("contentType")).partition(",")[0].strip()
    return said if said and said.isascii() and said.isprintable() and "*" not in said else None
