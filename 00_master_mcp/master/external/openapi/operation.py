"""One operation of a document, read as far as a call needs it. Pure."""

from dataclasses import dataclass
from typing import Any, Literal

from master.external.openapi.style import Place, Style

BodyKind = Literal["json", "form", "multipart", "text", "binary"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """`argument` is the tool's name for it, `name` the API's."""

    argument: str
    name: str
    place: Place
    style: Style
    required: bool
    schema: dict[str, Any]
    as_json: bool = False
    """Its value goes as JSON text (`content` instead of `schema` in the document)."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a body that is a form, or of a JSON body lifted to the top level."""

    argument: str
    name: str
    content_type: str | None = None
    """What the document says that a multipart member or a form's member is."""
    style: Style | None = None
    """How an urlencoded form writes it where the document says so."""
    upload: bool = False
    """The argument is base64, the member its bytes."""


@dataclass(frozen=True, slots=True)
class Body:
    """`members` are the lifted ones; `argument` is what holds the whole body where none are."""

    kind: BodyKind
    media_type: str
    required: bool
    argument: str | None
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Output:
    """`schema` is MCP's outputSchema; `wrapped` where the answer stands under `result` in it."""

    schema: dict[str, Any]
    wrapped: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """What a tool does: the request that it makes and the answer that it promises."""

    name: str
    method: str
    """In lower case."""
    path: str
    """The template, as in the document."""
    title: str
    description: str
    deprecated: bool
    destructive: bool
    """Its name says that it takes something away, or its method is DELETE."""
    parameters: tuple[Parameter, ...]
    body: Body | None
    input_schema: dict[str, Any]
    output: Output | None
    security: tuple[dict[str, tuple[str, ...]], ...]
    """Alternatives, each of schemes (with their scopes) that go together; none: no credentials."""
    servers: tuple[dict[str, Any], ...]
    """The operation's own, where it has any."""

    def tool(self) -> dict[str, Any]:
        """The operation as MCP lists a tool."""
        listed: dict[str, Any] = {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": self.input_schema,
        }
        if self.output is not None:
            listed["outputSchema"] = self.output.schema
        listed["annotations"] = {"title": self.title, **self._hints()}
        return listed

    def _hints(self) -> dict[str, bool]:
        """What the method promises, by RFC 9110, and no more.

        POST and PATCH count as not destructive unless the operation's name says otherwise: they
        mostly add a thing, or change what the caller spells out. PUT says nothing about it: it may
        add a star or overwrite a document whole, and a reader takes what is unsaid as possible.
        """
        if self.method in ("get", "head", "options", "trace"):
            return {"readOnlyHint": True, "openWorldHint": True}
        hints = {"readOnlyHint": False, "idempotentHint": self.method in ("put", "delete")}
        if self.destructive or self.method != "put":
            hints["destructiveHint"] = self.destructive
        return {**hints, "openWorldHint": True}
