"""From an OpenAPI document to the operations that become tools. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flotilla import TooLarge, cut
from flotilla.sizes import strip_invisible
from master.external.openapi.body import read_body
from master.external.openapi.choice import Choice
from master.external.openapi.document import (
    BadDocument,
    BadReference,
    Document,
    elements,
    members,
    shown,
    text_of,
)
from master.external.openapi.naming import destroys, tool_names
from master.external.openapi.operation import Operation
from master.external.openapi.output import read_output
from master.external.openapi.parameters import BadOperation, read_parameters
from master.external.openapi.schema import JsonSchema, Translator, placed
from master.external.openapi.security import secret_parameters

MAX_TOOLS = 2000
"""More would drown every client; a filter chooses among them."""
MAX_OPERATIONS = 50_000
MAX_INPUT_BYTES = 64 * 1024
"""An input schema over this is told without its descriptions..."""
MAX_TERSE_INPUT_BYTES = 256 * 1024
"""...and an operation whose schema is over this even so becomes no tool."""
MAX_PATH_LENGTH = 2000
MAX_ALTERNATIVES = 50
"""Of security requirements."""
MAX_TAGS = 100
MAX_TITLE_BYTES = 100
MAX_DESCRIPTION_BYTES = 1200

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An operation that became no tool, and why."""

    operation: str
    reason: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What a document offers: its operations by the names of their tools, in its own order."""

    document: Document
    operations: dict[str, Operation]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    method: str
    path: str
    item: dict[str, Any]
    node: dict[str, Any]

    @property
    def request(self) -> str:
        return f"{self.method.upper()} {self.path[:400]}"

    @property
    def operation_id(self) -> str:
        return text_of(self.node.get("operationId"))

    @property
    def tags(self) -> frozenset[str]:
        return frozenset(filter(None, map(text_of, elements(self.node.get("tags"))[:MAX_TAGS])))


def import_document(document: Document, choice: Choice | None = None) -> Imported:
    """The operations that `choice` takes, as tools.

    An operation that cannot be read, or that refers out of the document, is left out and says why.
    Raises BadDocument when none is left, TooLarge when over 2000 are.
    """
    document = document.afresh()
    found = list(_operations(document))
    if len(found) > MAX_OPERATIONS:
        raise TooLarge(f"the document has over {MAX_OPERATIONS} operations")
    names = tool_names((each.method, each.path, each.operation_id) for each in found)
    chosen = [
        (name, each)
        for name, each in zip(names, found, strict=True)
        if (choice or Choice()).takes(
            method=each.method,
            path=each.path,
            tags=each.tags,
            names=frozenset((name, each.operation_id)),
        )
    ]
    if len(chosen) > MAX_TOOLS:
        raise TooLarge(
            f"{len(chosen)} operations would become tools; {MAX_TOOLS} may",
            hint="Choose among them with `include`: tags, operationIds, methods or paths.",
        )
    reader = _Reader(document)
    operations: dict[str, Operation] = {}
    left_out: list[LeftOut] = []
    for name, each in chosen:
        try:
            operations[name] = reader.read(name, each)
        except (BadOperation, BadReference) as error:
            left_out.append(LeftOut(each.request, str(error)))
    if not operations:
        raise BadDocument(_why_none(found, left_out))
    return Imported(document, operations, tuple(left_out))


def _why_none(found: list[_Found], left_out: list[LeftOut]) -> str:
    if not found:
        return "the document has no operations under `paths`"
    if not left_out:
        return f"`include` and `exclude` leave none of the document's {len(found)} operations"
    first = left_out[0]
    return f"no operation can become a tool; {first.operation}: {first.reason}"


def _operations(document: Document) -> Iterator[_Found]:
    for path, value in members(document.root.get("paths")).items():
        if path.startswith("x-"):
            continue
        try:
            item = document.resolved(value)
        except BadReference as error:
            raise BadDocument(f"path {shown(path)}: {error}") from None
        for method in METHODS:
            node = item.get(method)
            if isinstance(node, dict):
                yield _Found(method, path, item, members(node))


class _Reader:
    """Reads operations; what they share of schemas is translated once."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._sent = Translator(document, "sent")
        self._sent_terse = Translator(document, "sent", terse=True)
        self._read = Translator(document, "read")
        self._read_terse = Translator(document, "read", terse=True)
        self._secret = secret_parameters(document)

    def read(self, name: str, found: _Found) -> Operation:
        """The operation; BadOperation or BadReference when it cannot become a tool."""
        _check_path(found.path)
        operation = self._sent_as(name, found, self._sent, MAX_INPUT_BYTES)
        operation = operation or self._sent_as(name, found, self._sent_terse, MAX_TERSE_INPUT_BYTES)
        if operation is None:
            raise BadOperation(f"its input schema has over {MAX_TERSE_INPUT_BYTES} bytes")
        return operation

    def _sent_as(
        self, name: str, found: _Found, translator: Translator, max_bytes: int
    ) -> Operation | None:
        node = found.node
        parameters = read_parameters(
            self._document,
            translator,
            found.path,
            found.item.get("parameters"),
            node.get("parameters"),
            self._secret,
        )
        taken = frozenset(parameter.argument for parameter in parameters)
        body = None
        if found.method != "trace":
            body = read_body(self._document, translator, node.get("requestBody"), taken)
        properties: dict[str, JsonSchema] = {each.argument: each.schema for each in parameters}
        required = [each.argument for each in parameters if each.required]
        if body is not None:
            properties |= body.schemas
            required += body.required
        schema: dict[str, Any] = {"type": "object", "properties": properties}
        if required:
            schema["required"] = required
        closed = translator.with_definitions(
            {**schema, "additionalProperties": False}, max_bytes=max_bytes
        )
        if closed is None:
            return None
        title, description = _told(name, found)
        return Operation(
            name=name,
            method=found.method,
            path=found.path,
            title=title,
            description=description,
            deprecated=node.get("deprecated") is True,
            destructive=destroys(found.method, found.path, found.operation_id),
            parameters=parameters,
            body=None if body is None else body.body,
            input_schema=placed(closed),
            output=read_output(self._document, self._read, self._read_terse, node.get("responses")),
            security=_security(node.get("security", self._document.root.get("security"))),
            servers=tuple(
                members(server)
                for server in elements(node.get("servers")) or elements(found.item.get("servers"))
            ),
        )


def _check_path(path: str) -> None:
    if not path.startswith("/"):
        raise BadOperation("its path does not start with a slash")
    if len(path) > MAX_PATH_LENGTH:
        raise BadOperation(f"its path has {len(path)} characters; {MAX_PATH_LENGTH} are taken")
    if any(mark in path for mark in "?#\\") or not path.isprintable():
        raise BadOperation("its path has a query, a fragment or another character of no path")
    if any(part in (".", "..") for part in path.lower().replace("%2e", ".").split("/")):
        raise BadOperation("its path climbs by `.` or `..`")


def _told(name: str, found: _Found) -> tuple[str, str]:
    """Title and description, on the document's word, cut to what a list of tools can bear."""
    summary = _line(found.node.get("summary")) or _line(found.item.get("summary"))
    description = strip_invisible(
        text_of(found.node.get("description")) or text_of(found.item.get("description"))
    ).strip()
    request = f"{found.method.upper()} {found.path}"
    parts = [summary, "" if description == summary else description, request]
    if found.node.get("deprecated") is True:
        parts.insert(0, "Deprecated.")
    text = "\n\n".join(filter(None, parts))
    if len(text.encode(errors="replace")) > MAX_DESCRIPTION_BYTES:
        head = "\n\n".join(filter(None, parts[:-1]))
        text = f"{_cut(head, MAX_DESCRIPTION_BYTES)}\n\n{_cut(request, 400)}"
    return _cut(summary or name, MAX_TITLE_BYTES), text


def _line(value: Any) -> str:
    return " ".join(strip_invisible(text_of(value)).split())


def _cut(text: str, max_bytes: int) -> str:
    """Cut at the end of a word, with an ellipsis where anything went."""
    kept, was_cut = cut(text, max_bytes)
    if not was_cut:
        return text
    whole, space, _ = kept.rpartition(" ")
    return f"{(whole if space and len(whole) > len(kept) // 2 else kept).rstrip()} …"


def _security(value: Any) -> tuple[dict[str, tuple[str, ...]], ...]:
    return tuple(
        {
            scheme: tuple(filter(None, map(text_of, elements(scopes))))
            for scheme, scopes in members(each).items()
        }
        for each in elements(value)[:MAX_ALTERNATIVES]
    )
