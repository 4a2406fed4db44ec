"""The resources and templates: those of the conformance suite, and enough for several pages."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mcp_types as types

from .asking import Questions, form
from .samples import PNG

if TYPE_CHECKING:
    from .world import World

WATCHED = "test://watched-resource"
Contents = types.TextResourceContents | types.BlobResourceContents
Read = Callable[["World", Questions], Awaitable[Contents]]


@dataclass(frozen=True)
class Document:
    """A resource as it is listed, and what reads it."""

    resource: types.Resource
    read: Read


@dataclass(frozen=True)
class Pattern:
    """A template as it is listed, and what writes the text of a URI that fits it."""

    template: types.ResourceTemplate
    uri: re.Pattern[str]
    write: Callable[[re.Match[str]], str]


def plain_text(uri: str, says: str) -> Document:
    """A resource of one text that never changes."""

    async def read(world: World, questions: Questions) -> Contents:
        return types.TextResourceContents(uri=uri, mime_type="text/plain", text=says)

    return _document(uri, f"Says: {says}", "text/plain", read)


def _document(uri: str, description: str, mime_type: str, read: Read) -> Document:
    name = uri.removeprefix("test://")
    resource = types.Resource(uri=uri, name=name, description=description, mime_type=mime_type)
    return Document(resource, read)


async def _picture(world: World, questions: Questions) -> Contents:
    return types.BlobResourceContents(uri="test://static-binary", mime_type="image/png", blob=PNG)


async def _watched(world: World, questions: Questions) -> Contents:
    says = f"version {world.version}"
    return types.TextResourceContents(uri=WATCHED, mime_type="text/plain", text=says)


async def _guarded(world: World, questions: Questions) -> Contents:
    question = form("May it be read?", {"ok": {"type": "boolean"}}, ["ok"])
    answer = (await questions.ask({"permission": question}))["permission"]
    says = f"the user said: {answer.action}"
    return types.TextResourceContents(uri="test://guarded", mime_type="text/plain", text=says)


def every_resource() -> dict[str, Document]:
    """By URI, in the order of the list."""
    static = "A text that stays as it is."
    documents = (
        plain_text("test://static-text", static),
        _document("test://static-binary", "One red pixel.", "image/png", _picture),
        _document(WATCHED, "Changes when it is touched.", "text/plain", _watched),
        _document("test://guarded", "Asks the user first.", "text/plain", _guarded),
        plain_text("test://example-resource", "An example."),
        *(plain_text(f"test://numbered/{n}", f"number {n}") for n in range(1, 8)),
    )
    return {str(document.resource.uri): document for document in documents}


def _data(found: re.Match[str]) -> str:
    number = found["id"]
    return json.dumps({"id": number, "said": f"what is known of {number}"})


def _pattern(
    uri: str, description: str, expression: str, write: Callable[[re.Match[str]], str], kind: str
) -> Pattern:
    template = types.ResourceTemplate(
        uri_template=uri,
        name=uri.split("/")[2],
        description=description,
        mime_type=kind,
    )
    return Pattern(template, re.compile(expression), write)


def every_template() -> tuple[Pattern, ...]:
    """In the order of the list."""
    return (
        _pattern(
            "test://template/{id}/data",
            "Data about an ID.",
            r"test://template/(?P<id>[^/]+)/data",
            _data,
            "application/json",
        ),
        _pattern(
            "test://large/{bytes}",
            "So many bytes of text.",
            r"test://large/(?P<bytes>\d{1,9})",
            lambda found: "x" * int(found["bytes"]),
            "text/plain",
        ),
        _pattern(
            "test://word/{word}",
            "A word.",
            r"test://word/(?P<word>\w+)",
            lambda found: found["word"],
            "text/plain",
        ),
    )
